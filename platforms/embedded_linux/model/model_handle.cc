// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/model/model_handle.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/options/trusted_keys.h"

namespace graft_run {
namespace {

// Set while a guard lives; a signal handler has no other way to reach it.
std::atomic<graft_session*> g_interrupted_session = nullptr;

constexpr std::pair<const char*, int32_t> kKvFormats[] = {
    {"auto", GRAFT_KV_AUTO}, {"f32", GRAFT_KV_F32}, {"f16", GRAFT_KV_F16}, {"int8", GRAFT_KV_I8}};

void OnInterrupt(int) {
  graft_session_cancel(g_interrupted_session.load(std::memory_order_relaxed));
}

void Handle(void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// Whether someone else may write the file while it is mapped. A group that is this user's own, as
// many systems make one for each user, is no one else.
bool OthersMayWrite(const std::string& file) {
  struct stat facts {};
  if (stat(file.c_str(), &facts) != 0) return false;  // opening it tells
  const bool is_ours = facts.st_uid == geteuid() || facts.st_uid == 0;
  const bool group_may = (facts.st_mode & S_IWGRP) != 0 && facts.st_gid != getegid();
  return !is_ours || group_may || (facts.st_mode & S_IWOTH) != 0;
}

}  // namespace

ModelHandle OpenModel(const std::string& file, const ThreadOptions& threads,
                      const CacheOptions& cache) {
  const std::string folder = cache.Folder();
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.cache_folder = folder.c_str();
  options.cache_limit_bytes = cache.limit_bytes();
  options.threads = static_cast<uint32_t>(threads.count);
  graft_pack pack = GRAFT_PACK_INIT;
  pack.path = cache.pack().c_str();
  if (!cache.pack().empty()) options.pack = &pack;
  const bool others_may_write =
      OthersMayWrite(file) || (!cache.pack().empty() && OthersMayWrite(cache.pack()));
  options.read_file = cache.reads_file() || others_may_write ? 1 : 0;
  std::vector<uint8_t> keys;
  if (std::string problem = ReadTrustedKeys(cache.trusted_keys(), &keys); !problem.empty()) {
    Fail("", problem);
    return nullptr;
  }
  options.trusted_keys = keys.data();
  options.trusted_key_count = cache.trusted_keys().size();
  graft_error error{};
  graft_model* model = nullptr;
  if (graft_model_open(file.c_str(), &options, &model, &error) != GRAFT_OK) {
    Fail(file, error.message);
  }
  return ModelHandle(model);
}

SessionHandle OpenSession(const std::string& file, graft_model* model, const ThreadOptions& threads,
                          uint64_t context_tokens, int32_t kv_format) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = static_cast<uint32_t>(threads.count);
  options.context_tokens = static_cast<uint32_t>(context_tokens);
  options.kv_format = kv_format;
  options.cpus = threads.cpus.c_str();
  graft_error error{};
  graft_session* session = nullptr;
  if (graft_session_create(model, &options, &session, &error) != GRAFT_OK) {
    Fail(file, error.message);
  }
  return SessionHandle(session);
}

bool SwapModel(const std::string& file, graft_model* model, const std::string& pack_file) {
  graft_pack pack = GRAFT_PACK_INIT;
  pack.path = pack_file.c_str();
  graft_error error{};
  if (graft_model_swap(model, pack_file.empty() ? nullptr : &pack, &error) == GRAFT_OK) return true;
  FailCall(file, error);
  return false;
}

std::string ParseKvFormat(std::string_view text, int32_t* kv_format) {
  for (const auto& [name, number] : kKvFormats) {
    if (text != name) continue;
    *kv_format = number;
    return {};
  }
  return Format("--kv: \"%.*s\" is none of auto, f32, f16, int8", static_cast<int>(text.size()),
                text.data());
}

const char* KvFormatName(int32_t kv_format) {
  for (const auto& [name, number] : kKvFormats) {
    if (kv_format == number) return name;
  }
  return "unknown";
}

graft_model_info InfoOf(const graft_model* model) {
  graft_model_info info{};
  info.struct_size = sizeof(info);
  // It fails for a wrong struct_size only.
  if (graft_model_get_info(model, &info, nullptr) != GRAFT_OK) return {};
  return info;
}

const char* CacheWord(const graft_model_info& info) {
  switch (info.cache_state) {
    case GRAFT_CACHE_HIT:
      return "hit";
    case GRAFT_CACHE_STORED:
      return "stored";
    case GRAFT_CACHE_FAILED:
      return "failed";
    default:
      return "off";
  }
}

uint64_t DefaultContext(const graft_model_info& info) {
  constexpr uint64_t kMost = 4096;
  return info.context_tokens == 0 ? kMost : std::min<uint64_t>(info.context_tokens, kMost);
}

std::string DescribeCache(const graft_model_info& info) {
  std::string text;
  switch (info.cache_state) {
    case GRAFT_CACHE_HIT:
      text = "packed weights from the cache";
      break;
    case GRAFT_CACHE_STORED:
      text = "weights packed, and stored in the cache";
      break;
    case GRAFT_CACHE_FAILED:
      text = "weights packed, not stored in the cache";
      break;
    default:
      text = "weights packed, no cache";
  }
  if (info.cache_note[0] != '\0') text.append(": ").append(info.cache_note);
  return text;
}

bool Tokenize(const std::string& file, const graft_model* model, std::string_view text,
              bool add_special, std::vector<int32_t>* ids) {
  return FillWhole(file, text.size() / 2 + 16, ids,
                   [&](int32_t* room, size_t capacity, size_t* count, graft_error* error) {
                     return graft_model_tokenize(model, text.data(), text.size(), add_special, room,
                                                 capacity, count, error);
                   });
}

bool Detokenize(const std::string& file, const graft_model* model, const std::vector<int32_t>& ids,
                bool skip_special, std::string* text) {
  return FillWhole(file, ids.size() * 8 + 16, text,
                   [&](char* room, size_t capacity, size_t* size, graft_error* error) {
                     return graft_model_detokenize(model, ids.data(), ids.size(), skip_special,
                                                   room, capacity, size, error);
                   });
}

int ForwardTokens(const std::string& file, graft_session* session, const int32_t* ids, size_t count,
                  const float** logits, size_t* vocabulary) {
  graft_tensor input{};
  input.name = "input_ids";
  input.type = GRAFT_TYPE_I32;
  input.rank = 1;
  input.shape[0] = static_cast<int64_t>(count);
  input.data = ids;
  const graft_tensor* outputs = nullptr;
  size_t output_count = 0;
  graft_error error{};
  if (graft_session_forward(session, &input, 1, &outputs, &output_count, &error) != GRAFT_OK) {
    return FailCall(file, error);
  }
  if (output_count < 1 || outputs[0].type != GRAFT_TYPE_F32 || outputs[0].rank != 2 ||
      outputs[0].shape[0] != input.shape[0]) {
    return Fail(file, "the model's output is not one row of logits for each token");
  }
  *logits = static_cast<const float*>(outputs[0].data);
  *vocabulary = static_cast<size_t>(outputs[0].shape[1]);
  return kExitOk;
}

InterruptGuard::InterruptGuard(graft_session* session) {
  g_interrupted_session.store(session);
  Handle(OnInterrupt, static_cast<int>(SA_RESETHAND));
}

InterruptGuard::~InterruptGuard() {
  Handle(SIG_DFL, 0);
  g_interrupted_session.store(nullptr);
}

int FailCall(const std::string& file, const graft_error& error) {
  Fail(file, error.message);
  return error.code == GRAFT_CANCELLED ? kExitInterrupted : kExitFailure;
}

}  // namespace graft_run
