// SPDX-License-Identifier: Apache-2.0
// Owners of graft.h's models and sessions, opened as the commands need them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {

struct ModelDeleter {
  void operator()(graft_model* model) const { graft_model_destroy(model); }
};
struct SessionDeleter {
  void operator()(graft_session* session) const { graft_session_destroy(session); }
};
using ModelHandle = std::unique_ptr<graft_model, ModelDeleter>;
using SessionHandle = std::unique_ptr<graft_session, SessionDeleter>;

/// Null after a failure, which has been printed.
ModelHandle OpenModel(const std::string& file, const ThreadOptions& threads,
                      const CacheOptions& cache);
SessionHandle OpenSession(const std::string& file, graft_model* model, const ThreadOptions& threads,
                          uint64_t context_tokens, int32_t kv_format = GRAFT_KV_AUTO);
/// Makes the model what a pack makes of it, or its base again without one. What fails is printed, and
/// nothing is changed; false then.
bool SwapModel(const std::string& file, graft_model* model, const std::string& pack_file);
/// "auto", "f32", "f16" or "int8" as graft.h's number. Returns an empty string, or what is wrong.
std::string ParseKvFormat(std::string_view text, int32_t* kv_format);
/// The reverse.
const char* KvFormatName(int32_t kv_format);

graft_model_info InfoOf(const graft_model* model);
/// Positions to make room for where nobody says how many: the model's, at most 4096.
uint64_t DefaultContext(const graft_model_info& info);
/// What became of the cache of packed weights, in a few words.
std::string DescribeCache(const graft_model_info& info);
/// The same as one word: off, hit, stored or failed.
const char* CacheWord(const graft_model_info& info);

/// Fills *to by graft.h's rule of capacity: `call(data, capacity, count, error)` is made with room
/// for `guess` elements, and once more if they are too few. False after a failure, which has been
/// printed.
template <typename Container, typename Call>
bool FillWhole(const std::string& file, size_t guess, Container* to, Call call) {
  graft_error error{};
  to->resize(guess);
  for (;;) {
    size_t count = 0;
    const graft_status status = call(to->data(), to->size(), &count, &error);
    const bool is_short = status == GRAFT_OUT_OF_RANGE && count > to->size();
    if (status != GRAFT_OK && !is_short) {
      Fail(file, error.message);
      return false;
    }
    to->resize(count);
    if (!is_short) return true;
  }
}

/// Ids of `text`; false after a failure, which has been printed.
bool Tokenize(const std::string& file, const graft_model* model, std::string_view text,
              bool add_special, std::vector<int32_t>* ids);
/// Text of `ids`; false after a failure, which has been printed.
bool Detokenize(const std::string& file, const graft_model* model, const std::vector<int32_t>& ids,
                bool skip_special, std::string* text);

/// The logits of each of `count` tokens from an empty context, [count, *vocabulary]. They live until
/// the session's next call. Returns an exit code; a failure has been printed.
int ForwardTokens(const std::string& file, graft_session* session, const int32_t* ids, size_t count,
                  const float** logits, size_t* vocabulary);

/// While it lives, the first Ctrl-C (or SIGTERM) cancels what runs in the session, the second
/// kills.
class InterruptGuard {
 public:
  explicit InterruptGuard(graft_session* session);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// Prints the failure of a call into the session and returns the exit code that goes with it.
int FailCall(const std::string& file, const graft_error& error);

}  // namespace graft_run
