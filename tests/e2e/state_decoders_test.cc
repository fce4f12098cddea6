// SPDX-License-Identifier: Apache-2.0
// Families of tests/data/decoders that keep states: going back to any place, saving and restoring,
// cancelling and trimming leave their logits as they are.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/converted_model.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

// Of the largest logit.
constexpr double kRelativeTolerance = 1e-4;

std::vector<std::string> StateFamilies() {
  if (kSomeOfAll) return {"lfm2", "qwen3_5", "falcon_h1"};
  return {"lfm2",   "lfm2_listed",  "qwen3_5",   "mamba",          "mamba_plain",
          "mamba2", "mamba2_plain", "falcon_h1", "granite_hybrid", "recurrent_gemma"};
}

// A family's fixture and a session on it.
class Talk {
 public:
  explicit Talk(const std::string& name) : family_(converter::TestData("decoders/" + name)) {
    ids_ = family_.Read("input_ids").ids();
    const Numbers logits = family_.Read("logits");
    vocabulary_ = static_cast<size_t>(logits.shape.back());
    last_.assign(logits.values.end() - static_cast<ptrdiff_t>(vocabulary_), logits.values.end());
    bound_ = kRelativeTolerance * LargestMagnitude(logits.values);
  }

  size_t vocabulary() const { return vocabulary_; }
  const std::vector<int32_t>& ids() const { return ids_; }
  std::string file(const char* name) const { return family_.output(name).string(); }

  SessionPtr Start(uint32_t chunk, uint32_t threads = 2) const {
    return ChunkedSession(family_.model(), {.prefill_chunk = chunk, .threads = threads});
  }

  // Appends all from `from` on; the logits of the last must be transformers'.
  void CheckRest(graft_session* session, size_t from) const {
    CAPTURE(from);
    CHECK(LargestDifference(AppendedLogits(session, ids_, from, vocabulary_), last_) <= bound_);
  }

 private:
  ConvertedModel family_;
  std::vector<int32_t> ids_;
  size_t vocabulary_ = 0;
  std::vector<double> last_;
  double bound_ = 0.0;
};

#define CHECK_OK(call)                                               \
  do {                                                               \
    graft_error error = {};                                          \
    const graft_status status = call;                                \
    REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message)); \
  } while (false)

TEST_SUITE("e2e/state_decoders") {
  TEST_CASE("going back to any place and on gives the same logits, whatever was said after it") {
    for (const std::string& name : StateFamilies()) {
      CAPTURE(name);
      const Talk talk(name);
      const SessionPtr session = talk.Start(5);
      talk.CheckRest(session.get(), 0);
      for (const size_t place : {size_t{19}, size_t{12}, size_t{3}, size_t{0}}) {
        CHECK_OK(graft_session_rewind(session.get(), place, &error));
        const std::vector<int32_t> others(7, 5);
        CHECK_OK(
            graft_session_append(session.get(), others.data(), others.size(), nullptr, &error));
        CHECK_OK(graft_session_rewind(session.get(), place, &error));
        talk.CheckRest(session.get(), place);
      }
      Logits(session.get(), talk.ids());  // from zeros, and then on
      CHECK_OK(graft_session_rewind(session.get(), 9, &error));
      CHECK_OK(graft_session_trim(session.get(), &error));
      talk.CheckRest(session.get(), 9);
    }
  }

  TEST_CASE("guessed tokens, right or wrong, leave the states as if there had been none") {
    for (const std::string& name : StateFamilies()) {
      CAPTURE(name);
      const Talk talk(name);
      const SessionPtr session = talk.Start(0);
      // Twice the same, and something else the second time: guesses that are wrong.
      std::vector<int32_t> prompt(talk.ids().begin(), talk.ids().begin() + 6);
      prompt.insert(prompt.end(), talk.ids().begin() + 1, talk.ids().begin() + 5);
      Greedy(session.get(), prompt, 40);
      const size_t held = graft_session_position(session.get());
      CHECK(held == prompt.size() + 39);
      const int32_t id = 3;
      const float* logits = nullptr;
      CHECK_OK(graft_session_append(session.get(), &id, 1, &logits, &error));
      const std::vector<float> behind(logits, logits + talk.vocabulary());
      // The same tokens without a guess.
      graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
      options.max_tokens = 40;
      options.ignore_end = 1;
      CHECK_OK(graft_session_reset(session.get(), &error));
      CHECK_OK(graft_session_generate(session.get(), prompt.data(), prompt.size(), &options,
                                      nullptr, nullptr, nullptr, &error));
      CHECK_OK(graft_session_append(session.get(), &id, 1, &logits, &error));
      CHECK(std::equal(behind.begin(), behind.end(), logits));
    }
  }

  TEST_CASE("a saved session goes on in another, and back in it") {
    for (const std::string& name : StateFamilies()) {
      CAPTURE(name);
      const Talk talk(name);
      const SessionPtr session = talk.Start(7);
      talk.CheckRest(session.get(), 0);
      CHECK_OK(graft_session_rewind(session.get(), 13, &error));
      CHECK_OK(graft_session_save(session.get(), talk.file("saved").c_str(), &error));
      talk.CheckRest(session.get(), 13);
      const SessionPtr other = talk.Start(3, 1);
      CHECK_OK(graft_session_restore(other.get(), talk.file("saved").c_str(), &error));
      talk.CheckRest(other.get(), 13);
      CHECK_OK(graft_session_rewind(other.get(), 6, &error));
      talk.CheckRest(other.get(), 6);
      // Damaged contents leave nothing behind, not even in states.
      std::string bytes = converter::ReadBytes(talk.file("saved"));
      bytes.back() = static_cast<char>(bytes.back() ^ 1);
      converter::WriteText(talk.file("damaged"), bytes);
      graft_error error = {};
      CHECK(graft_session_restore(other.get(), talk.file("damaged").c_str(), &error) ==
            GRAFT_CORRUPT);
      talk.CheckRest(other.get(), 0);
    }
  }

  TEST_CASE("a cancel at any moment leaves the states as they were") {
    for (const std::string& name : StateFamilies()) {
      CAPTURE(name);
      const Talk talk(name);
      const SessionPtr session = talk.Start(2);
      graft_error error = {};
      constexpr size_t kHeld = 6;
      REQUIRE(graft_session_append(session.get(), talk.ids().data(), kHeld, nullptr, &error) ==
              GRAFT_OK);
      for (int delay_us = 0; delay_us < 200; delay_us += kSomeOfAll ? 60 : 20) {
        std::atomic<bool> started{false};
        std::thread canceller([&] {
          while (!started) std::this_thread::yield();
          std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
          graft_session_cancel(session.get());
        });
        started = true;
        const graft_status status = graft_session_append(
            session.get(), talk.ids().data() + kHeld, talk.ids().size() - kHeld, nullptr, &error);
        canceller.join();
        CHECK((status == GRAFT_OK || status == GRAFT_CANCELLED));
        CHECK_OK(graft_session_rewind(session.get(), kHeld, &error));
        graft_session_cancel(session.get());  // as nothing runs, it is not one of saving
        CHECK_OK(graft_session_save(session.get(), talk.file("held").c_str(), &error));
        talk.CheckRest(session.get(), kHeld);
        CHECK_OK(graft_session_restore(session.get(), talk.file("held").c_str(), &error));
        talk.CheckRest(session.get(), kHeld);
        CHECK_OK(graft_session_rewind(session.get(), kHeld, &error));
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
