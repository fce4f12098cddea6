// SPDX-License-Identifier: Apache-2.0
// Times among words follow the rules of transformers' WhisperTimeStampLogitsProcessor; sound goes
// through a model in windows.
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "runtime/tasks/timestamp_rules.h"
#include "tests/runtime/c_api/task_models.h"

namespace graft::test {
namespace {

struct Rule {
  std::vector<int32_t> generated;
  float words;           // how much likelier words are
  std::string expected;  // x: may be chosen
};

// Of 16 tokens: words up to 4, the end, others, no timestamps at 9, and times.
const Rule kRules[] = {
    {{}, 0.0f, "..........xxx..."},
    {{}, 3.0f, "..........xxx..."},
    {{10}, 0.0f, "xxxxxxxxx......."},
    {{10, 3}, 0.0f, "...........xxxxx"},
    {{10, 3}, 3.0f, "xxxxxxxxx..xxxxx"},
    {{10, 3, 12}, 0.0f, "............xxxx"},
    {{10, 3, 12}, 3.0f, "............xxxx"},
    {{10, 3, 12, 12}, 3.0f, "xxxxxxxxx......."},
    {{10, 3, 12, 12, 1}, 0.0f, ".............xxx"},
    {{10, 3, 12, 12, 1}, 3.0f, "xxxxxxxxx....xxx"},
    {{11, 2, 4}, 3.0f, "xxxxxxxxx...xxxx"},
};

struct Heard {
  std::string text;
  std::vector<double> begins, ends;
  int stop_after = -1;
};

int32_t Keep(void* user, double begin_s, double end_s, const char* text, size_t size) {
  auto* heard = static_cast<Heard*>(user);
  heard->text.append(text, size);
  heard->begins.push_back(begin_s);
  heard->ends.push_back(end_s);
  return --heard->stop_after == 0 ? 1 : 0;
}

}  // namespace

TEST_SUITE("runtime/transcribe") {
  TEST_CASE("times come in pairs, never go back, and win where they are likelier") {
    const uint32_t end[] = {5};
    const runtime::TimestampRules rules(10, 9, end, 2);
    for (const Rule& rule : kRules) {
      CAPTURE(rule.expected);
      std::vector<float> logits;
      for (int i = 0; i < 16; ++i)
        logits.push_back(static_cast<float>(i * 7 % 11) / 4.0f + (i < 5 ? rule.words : 0.0f));
      rules.Apply(rule.generated, logits);
      std::string allowed;
      for (const float logit : logits)
        allowed += logit == -std::numeric_limits<float>::infinity() ? '.' : 'x';
      CHECK(allowed == rule.expected);
    }
  }

  TEST_CASE("sound of any length goes through in windows, and a callback can end it") {
    const AlignedBytes file = SoundTaskModel();
    graft_model* model = nullptr;
    REQUIRE(graft_model_open_memory(file.data(), file.size(), nullptr, &model, nullptr) ==
            GRAFT_OK);
    graft_session* session = nullptr;
    REQUIRE(graft_session_create(model, nullptr, &session, nullptr) == GRAFT_OK);
    graft_model_info info{};
    info.struct_size = sizeof(info);
    REQUIRE(graft_model_get_info(model, &info, nullptr) == GRAFT_OK);
    CHECK(info.sample_rate == 16000);
    CHECK(info.takes_source == GRAFT_SOURCE_FEATURES);
    const std::vector<float> samples(96 * 2 + 40, 0.25f);  // a window has 96
    Heard heard;
    graft_transcribe_result result{};
    result.struct_size = sizeof(result);
    graft_error error{};
    REQUIRE_MESSAGE(graft_session_transcribe(session, samples.data(), samples.size(), nullptr, Keep,
                                             &heard, &result, &error) == GRAFT_OK,
                    std::string(error.message));
    CHECK(result.windows == 3);
    CHECK(result.generated_tokens > 0);
    REQUIRE(!heard.begins.empty());
    CHECK(heard.begins.front() == 0.0);
    CHECK(heard.ends.back() == doctest::Approx(232.0 / 16000.0));
    Heard first;
    first.stop_after = 1;
    REQUIRE(graft_session_transcribe(session, samples.data(), samples.size(), nullptr, Keep, &first,
                                     nullptr, nullptr) == GRAFT_OK);
    CHECK(first.begins.size() == 1);
    graft_transcribe_options options = GRAFT_TRANSCRIBE_OPTIONS_INIT;
    const auto refused = [&] {
      return graft_session_transcribe(session, samples.data(), samples.size(), &options, nullptr,
                                      nullptr, nullptr, &error);
    };
    options.translate = 1;
    CHECK(refused() == GRAFT_UNSUPPORTED);
    options.translate = 0;
    options.timestamps = 1;
    CHECK(refused() == GRAFT_UNSUPPORTED);
    options.timestamps = 0;
    options.language = "xx";
    CHECK(refused() == GRAFT_INVALID_ARGUMENT);
    graft_session_destroy(session);
    graft_model_destroy(model);
  }
}

}  // namespace graft::test
