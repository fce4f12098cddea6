// SPDX-License-Identifier: Apache-2.0
// Threads through the C interface: sessions side by side, cancelling, closing. Also run under the
// thread sanitizer.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

constexpr uint32_t kContextTokens = 256;

graft_model* OpenModel(const TinyLlama& llama, const char* cache_folder = nullptr) {
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = 3;
  options.cache_folder = cache_folder;
  graft_model* model = nullptr;
  graft_error error{};
  REQUIRE_MESSAGE(graft_model_open_memory(llama.file().data(), llama.file().size(), &options,
                                          &model, &error) == GRAFT_OK,
                  error.message);
  return model;
}

graft_session* NewSession(graft_model* model, uint32_t threads) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = threads;
  options.context_tokens = kContextTokens;
  graft_session* session = nullptr;
  REQUIRE(graft_session_create(model, &options, &session, nullptr) == GRAFT_OK);
  return session;
}

/// Ids that follow `prompt`; empty after a failure.
std::vector<int32_t> Generate(graft_session* session, int32_t prompt, uint32_t count) {
  std::vector<int32_t> ids;
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = count;
  options.ignore_end = 1;
  const auto keep = [](void* user, int32_t id, const char*, size_t) {
    static_cast<std::vector<int32_t>*>(user)->push_back(id);
    return int32_t{0};
  };
  REQUIRE(graft_session_reset(session, nullptr) == GRAFT_OK);
  if (graft_session_generate(session, &prompt, 1, &options, keep, &ids, nullptr, nullptr) !=
      GRAFT_OK) {
    ids.clear();
  }
  return ids;
}

size_t ThreadsOfProcess() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/task")) {
    ++count;
  }
  return count;
}

/// A thread that was joined is listed for a moment longer.
bool ComesDownTo(size_t threads) {
  for (int i = 0; i < 2000 && ThreadsOfProcess() > threads; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return ThreadsOfProcess() == threads;
}

TEST_SUITE("runtime/c_api_threads") {
  TEST_CASE("two sessions on one model in two threads give what each gives alone") {
    const TinyLlama llama(fb::TensorFormat::Int4Block);
    graft_model* model = OpenModel(llama);
    graft_session* sessions[2] = {NewSession(model, 2), NewSession(model, 2)};
    std::vector<int32_t> expected[2];
    for (int i = 0; i < 2; ++i) expected[i] = Generate(sessions[i], 3 + i, 40);
    REQUIRE(expected[0].size() == 40);
    std::vector<int32_t> got[2];
    std::thread other([&] { got[1] = Generate(sessions[1], 4, 40); });
    got[0] = Generate(sessions[0], 3, 40);
    // What a system that is short of memory makes an app do meanwhile.
    CHECK(graft_model_trim(model, nullptr) == GRAFT_OK);
    other.join();
    CHECK(got[0] == expected[0]);
    CHECK(got[1] == expected[1]);
    for (graft_session* session : sessions) graft_session_destroy(session);
    graft_model_destroy(model);
  }

  TEST_CASE("a cancel from another thread ends a generation, and the next one is whole") {
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    graft_model* model = OpenModel(llama);
    graft_session* session = NewSession(model, 2);
    const std::vector<int32_t> expected = Generate(session, 3, 20);
    struct Shared {
      std::atomic<bool> has_begun{false};
      std::atomic<bool> is_cancelled{false};
    } shared;
    // The generation waits in its callback until the other thread has cancelled.
    const auto wait = [](void* user, int32_t, const char*, size_t) {
      auto* both = static_cast<Shared*>(user);
      both->has_begun.store(true);
      while (!both->is_cancelled.load()) std::this_thread::yield();
      return int32_t{0};
    };
    std::thread other([&] {
      while (!shared.has_begun.load()) std::this_thread::yield();
      graft_session_cancel(session);
      shared.is_cancelled.store(true);
    });
    const int32_t prompt = 3;
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.ignore_end = 1;
    REQUIRE(graft_session_reset(session, nullptr) == GRAFT_OK);
    CHECK(graft_session_generate(session, &prompt, 1, &options, wait, &shared, nullptr, nullptr) ==
          GRAFT_CANCELLED);
    other.join();
    CHECK(Generate(session, 3, 20) == expected);
    graft_session_destroy(session);
    graft_model_destroy(model);
  }

  TEST_CASE("an append is cancelled while it runs, at whatever point it is") {
    const TinyLlama llama(fb::TensorFormat::Int4Block);
    graft_model* model = OpenModel(llama);
    graft_session* session = NewSession(model, 2);
    const std::vector<int32_t> ids = TinyLlama::Ids(kContextTokens);
    const std::vector<int32_t> expected = Generate(session, 3, 20);
    for (int round = 0; round < 20; ++round) {
      std::atomic<bool> stop{false};
      std::thread other([&] {
        while (!stop.load()) {
          graft_session_cancel(session);
          std::this_thread::sleep_for(std::chrono::microseconds(50 * round));
        }
      });
      REQUIRE(graft_session_reset(session, nullptr) == GRAFT_OK);
      const graft_status status =
          graft_session_append(session, ids.data(), ids.size(), nullptr, nullptr);
      stop.store(true);
      other.join();
      CHECK((status == GRAFT_OK || status == GRAFT_CANCELLED));
      CHECK(graft_session_position(session) == (status == GRAFT_OK ? ids.size() : 0));
    }
    CHECK(Generate(session, 3, 20) == expected);
    graft_session_destroy(session);
    graft_model_destroy(model);
  }

  TEST_CASE("sessions are closed while idle, whether their threads sleep, spin or never worked") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    graft_model* model = OpenModel(llama);
    for (int round = 0; round < 8; ++round) {
      graft_session* session = NewSession(model, 3);
      if (round % 4 > 0) CHECK(Generate(session, 3, 2).size() == 2);
      if (round % 4 == 2) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      // From another thread than the one that used it.
      if (round % 4 == 3) {
        std::thread([session] { graft_session_destroy(session); }).join();
      } else {
        graft_session_destroy(session);
      }
    }
    // The model first: the session keeps it.
    graft_session* session = NewSession(model, 2);
    graft_model_destroy(model);
    CHECK(Generate(session, 3, 4).size() == 4);
    graft_session_destroy(session);
  }

  TEST_CASE("no thread is left after the last session and model are closed") {
    std::string folder = (std::filesystem::temp_directory_path() / "graft-threads-XXXXXX").string();
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    const TinyLlama llama(fb::TensorFormat::Int4Block);
    std::thread([] {}).join();  // whatever a first thread brings with it, a sanitizer's helper too
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const size_t before = ThreadsOfProcess();
    for (int round = 0; round < 2; ++round) {  // packs and stores, then maps
      graft_model* model = OpenModel(llama, folder.c_str());
      graft_session* sessions[2] = {NewSession(model, 4), NewSession(model, 2)};
      size_t helpers = 0;  // beside the callers; fewer than asked for where CPUs are fewer
      for (graft_session* session : sessions) {
        graft_session_info info{};
        info.struct_size = sizeof(info);
        REQUIRE(graft_session_get_info(session, &info, nullptr) == GRAFT_OK);
        helpers += info.threads - 1;
      }
      CHECK(helpers <= 4);
      CHECK(ThreadsOfProcess() >= before + helpers);
      for (graft_session* session : sessions) CHECK(Generate(session, 3, 3).size() == 3);
      for (graft_session* session : sessions) graft_session_destroy(session);
      graft_model_destroy(model);
      CHECK(ComesDownTo(before));
    }
    std::filesystem::remove_all(folder);
  }
}

}  // namespace
}  // namespace graft::test
