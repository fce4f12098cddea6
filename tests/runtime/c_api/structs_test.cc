// SPDX-License-Identifier: Apache-2.0
// Structs that grow: programs compiled with an older or a newer graft.h than the library they find.
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {
namespace {

/// A model, a session on it that holds tokens and was measured, and the model's file.
struct Fixture {
  AlignedBytes file = ScriptedModel({{5, 6}, {6, 7}, {7, 5}}, 32, {9}, true);
  graft_model* model = nullptr;
  graft_session* session = nullptr;
  std::string path = (std::filesystem::temp_directory_path() / "graft-structs-XXXXXX").string();

  Fixture() {
    REQUIRE(graft_model_open_memory(file.data(), file.size(), nullptr, &model, nullptr) ==
            GRAFT_OK);
    REQUIRE(graft_session_create(model, nullptr, &session, nullptr) == GRAFT_OK);
    REQUIRE(graft_session_measure(session, 1, nullptr) == GRAFT_OK);
    const int32_t id = 5;
    const float* logits = nullptr;
    REQUIRE(graft_session_append(session, &id, 1, &logits, nullptr) == GRAFT_OK);
    const int descriptor = mkstemp(path.data());
    REQUIRE(descriptor >= 0);
    close(descriptor);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
  }
  ~Fixture() {
    graft_session_destroy(session);
    graft_model_destroy(model);
    std::filesystem::remove(path);
  }
};

/// A struct followed by what a later version might add.
template <typename T>
struct Newer {
  T known;
  uint64_t later[4];
};

/// `options`, sound defaults, passed to `call`. What an older caller knows ends at `older_bytes`.
template <typename T>
void CheckOptions(const T& options, size_t older_bytes,
                  const std::function<graft_status(const T*)>& call) {
  CHECK(call(&options) == GRAFT_OK);

  T older;
  std::memset(&older, 0xFF, sizeof(older));  // not the older caller's: must not be read
  std::memcpy(&older, &options, older_bytes);
  older.struct_size = older_bytes;
  CHECK(call(&older) == GRAFT_OK);

  Newer<T> newer;
  std::memset(&newer, 0, sizeof(newer));
  newer.known = options;
  newer.known.struct_size = sizeof(newer);
  CHECK(call(&newer.known) == GRAFT_OK);
  newer.later[3] = uint64_t{1} << 63;
  CHECK(call(&newer.known) == GRAFT_INVALID_ARGUMENT);

  for (const size_t wrong : {size_t{0}, sizeof(size_t) - 1, size_t{1} << 20, ~size_t{0}}) {
    T bad = options;
    bad.struct_size = wrong;
    CHECK(call(&bad) == GRAFT_INVALID_ARGUMENT);
  }
}

/// A struct that `call` fills in, to be compared with what an older and a newer caller get.
template <typename T>
void CheckResult(size_t older_bytes, const std::function<graft_status(T*)>& call) {
  T whole;
  std::memset(&whole, 0, sizeof(whole));
  whole.struct_size = sizeof(whole);
  REQUIRE(call(&whole) == GRAFT_OK);
  CHECK(whole.struct_size == sizeof(whole));

  T older;
  std::memset(&older, 0xAB, sizeof(older));
  older.struct_size = older_bytes;
  REQUIRE(call(&older) == GRAFT_OK);
  CHECK(older.struct_size == older_bytes);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&older);
  for (size_t i = older_bytes; i < sizeof(T); ++i) REQUIRE(bytes[i] == 0xAB);

  Newer<T> newer;
  std::memset(&newer, 0xAB, sizeof(newer));
  newer.known.struct_size = sizeof(newer);
  REQUIRE(call(&newer.known) == GRAFT_OK);
  CHECK(newer.known.struct_size == sizeof(newer));
  for (const uint64_t later : newer.later) CHECK(later == 0);

  for (const size_t wrong : {size_t{0}, sizeof(size_t) - 1, size_t{1} << 20, ~size_t{0}}) {
    whole.struct_size = wrong;
    CHECK(call(&whole) == GRAFT_INVALID_ARGUMENT);
  }
}

TEST_SUITE("runtime/c_api_structs") {
  TEST_CASE("options of a model, a session, a text, a conversation and a generation grow") {
    const Fixture fixture;
    CheckOptions<graft_model_options>(
        GRAFT_MODEL_OPTIONS_INIT, offsetof(graft_model_options, cache_folder),
        [&](const graft_model_options* options) {
          graft_model* model = nullptr;
          const graft_status status = graft_model_open_memory(
              fixture.file.data(), fixture.file.size(), options, &model, nullptr);
          graft_model_destroy(model);
          return status;
        });
    CheckOptions<graft_session_options>(
        GRAFT_SESSION_OPTIONS_INIT, offsetof(graft_session_options, context_tokens),
        [&](const graft_session_options* options) {
          graft_session* session = nullptr;
          const graft_status status =
              graft_session_create(fixture.model, options, &session, nullptr);
          graft_session_destroy(session);
          return status;
        });
    CheckOptions<graft_tokenize_options>(
        GRAFT_TOKENIZE_OPTIONS_INIT, offsetof(graft_tokenize_options, max_tokens),
        [&](const graft_tokenize_options* options) {
          int32_t ids[16];
          size_t count = 0;
          return graft_model_tokenize_pair(fixture.model, "a", 1, nullptr, 0, options, ids, nullptr,
                                           16, &count, nullptr);
        });
    graft_chat_options chat = GRAFT_CHAT_OPTIONS_INIT;
    chat.template_text = "x";
    CheckOptions<graft_chat_options>(
        chat, offsetof(graft_chat_options, variables), [&](const graft_chat_options* options) {
          char text[16];
          size_t size = 0;
          return graft_model_render_chat(fixture.model, nullptr, 0, options, text, sizeof(text),
                                         &size, nullptr);
        });
    graft_reply_options reply_options = GRAFT_REPLY_OPTIONS_INIT;
    reply_options.format = "hermes";
    CheckOptions<graft_reply_options>(reply_options, offsetof(graft_reply_options, prompt),
                                      [&](const graft_reply_options* options) {
                                        graft_reply* reply = nullptr;
                                        const graft_status status =
                                            graft_reply_create(nullptr, options, &reply, nullptr);
                                        graft_reply_destroy(reply);
                                        return status;
                                      });
    CheckOptions<graft_generate_options>(
        GRAFT_GENERATE_OPTIONS_INIT, offsetof(graft_generate_options, temperature),
        [&](const graft_generate_options* options) {
          const int32_t prompt = 5;
          REQUIRE(graft_session_reset(fixture.session, nullptr) == GRAFT_OK);
          return graft_session_generate(fixture.session, &prompt, 1, options, nullptr, nullptr,
                                        nullptr, nullptr);
        });
  }

  TEST_CASE("what is told of a model, a session, its steps, its memory and a generation grows") {
    const Fixture fixture;
    CheckResult<graft_model_info>(
        offsetof(graft_model_info, vocabulary),
        [&](graft_model_info* info) { return graft_model_get_info(fixture.model, info, nullptr); });
    CheckResult<graft_self_test>(offsetof(graft_self_test, deviation), [&](graft_self_test* test) {
      return graft_model_self_test(fixture.model, test, nullptr);
    });
    CheckResult<graft_session_info>(offsetof(graft_session_info, weight_bytes),
                                    [&](graft_session_info* info) {
                                      return graft_session_get_info(fixture.session, info, nullptr);
                                    });
    CheckResult<graft_step_time>(offsetof(graft_step_time, wall_ns), [&](graft_step_time* time) {
      return graft_session_step_time(fixture.session, 0, time, nullptr);
    });
    CheckResult<graft_memory_estimate>(
        offsetof(graft_memory_estimate, kv_bytes), [&](graft_memory_estimate* estimate) {
          return graft_model_estimate(fixture.path.c_str(), nullptr, estimate, nullptr);
        });
    CheckResult<graft_generate_result>(
        offsetof(graft_generate_result, prefill_ns), [&](graft_generate_result* result) {
          const int32_t prompt = 5;
          REQUIRE(graft_session_reset(fixture.session, nullptr) == GRAFT_OK);
          return graft_session_generate(fixture.session, &prompt, 1, nullptr, nullptr, nullptr,
                                        result, nullptr);
        });
  }
}

}  // namespace
}  // namespace graft::test
