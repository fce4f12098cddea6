// SPDX-License-Identifier: Apache-2.0
// Guessed tokens change nothing of what is generated; and what they may cost.
#include <doctest/doctest.h>

#include "runtime/draft/draft_pace.h"
#include "runtime/draft/repeated_text.h"
#include "runtime/tasks/generate.h"
#include "runtime/tasks/text_model.h"
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;
using runtime::GenerateOptions;
using runtime::StopReason;

// Tokens of stories260k: "▁Once", "▁upon", "▁a", "▁time"; and bytes.
const std::map<int32_t, int32_t> kLoop = {{403, 407}, {407, 261}, {261, 378}, {378, 403}};

struct Answer {
  Ids ids;
  std::vector<std::string> parts;
  StopReason stop_reason = StopReason::kContext;
  size_t position = 0;
  size_t accepted = 0;
  size_t drafted = 0;

  bool operator==(const Answer& other) const {
    return ids == other.ids && parts == other.parts && stop_reason == other.stop_reason &&
           position == other.position;
  }
};

class Talker {
 public:
  explicit Talker(const std::map<int32_t, int32_t>& next, std::vector<uint32_t> end_tokens = {},
                  uint32_t context = 64, bool with_tokenizer = true)
      : file_(ScriptedModel(next, context, std::move(end_tokens), with_tokenizer)) {
    auto opened = runtime::TextModel::Open(std::make_unique<runtime::MemorySource>(file_.span()),
                                           runtime::ModelOptions{1, false}, "test.graft");
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    model_ = std::move(opened).value();
    runtime::SessionOptions options;
    options.threads = 1;
    auto created = runtime::Session::Create(model_->model(), options);
    REQUIRE_MESSAGE(created.ok(), created.status().message());
    session_ = std::move(created).value();
  }

  const runtime::TextModel& model() const { return *model_; }
  runtime::Session& session() { return *session_; }

  Answer Run(const Ids& prompt, GenerateOptions options, bool guesses, size_t stop_after = SIZE_MAX,
             const char* regex = nullptr, runtime::Session* draft = nullptr) {
    REQUIRE(session_->Rewind(0).ok());
    options.draft.always = guesses;
    options.draft.from_text = guesses && draft == nullptr;
    options.draft.model = guesses ? draft : nullptr;
    std::unique_ptr<runtime::ConstrainedText> constraint;
    if (regex != nullptr) {
      runtime::ConstraintOptions wanted;
      wanted.kind = runtime::ConstraintOptions::Kind::kRegex;
      wanted.text = regex;
      constraint = runtime::ConstrainedText::Create(*model_, wanted).value();
      options.constraint = constraint.get();
    }
    Answer answer;
    const auto result = runtime::Generate(*session_, model_->tokenizer(), prompt, options,
                                          [&](int32_t id, std::string_view part) {
                                            if (id >= 0) answer.ids.push_back(id);
                                            answer.parts.emplace_back(part);
                                            return answer.ids.size() < stop_after;
                                          });
    REQUIRE_MESSAGE(result.ok(), std::string(result.status().message()));
    answer.stop_reason = result->stop_reason;
    answer.position = session_->position();
    answer.drafted = result->drafted_tokens;
    answer.accepted = result->accepted_tokens;
    CHECK(answer.accepted <= answer.drafted);
    CHECK((guesses || answer.drafted == 0));
    return answer;
  }

  // The same with and without guesses; returns the first.
  Answer Same(const Ids& prompt, const GenerateOptions& options, size_t stop_after = SIZE_MAX,
              const char* regex = nullptr, runtime::Session* draft = nullptr) {
    const Answer plain = Run(prompt, options, false, stop_after, regex);
    const Answer guessed = Run(prompt, options, true, stop_after, regex, draft);
    CHECK(guessed == plain);
    return guessed;
  }

 private:
  AlignedBytes file_;
  std::shared_ptr<const runtime::TextModel> model_;
  std::unique_ptr<runtime::Session> session_;
};

Ids Drafted(const Ids& tokens, size_t most) {
  Ids draft;
  runtime::DraftFromRepetition(tokens, most, &draft);
  return draft;
}

TEST_SUITE("text/speculation") {
  TEST_CASE("a text that repeats itself is guessed, wherever it ends") {
    Talker talker(kLoop);
    GenerateOptions options;
    for (uint32_t most = 1; most <= 24; ++most) {
      CAPTURE(most);
      options.max_tokens = most;
      const Answer answer = talker.Same({403}, options);
      CHECK(answer.ids.size() == most);
      if (most > 16) CHECK(answer.accepted > most / 2);
    }
    options.max_tokens = 0;
    CHECK(talker.Same({403}, options).stop_reason == StopReason::kContext);
    CHECK(talker.Same({403}, options, 14).stop_reason == StopReason::kCallback);
    options.stop = {"on a ti", "upon a time On"};
    options.max_tokens = 30;
    CHECK(talker.Same({407, 261}, options).stop_reason == StopReason::kStopString);
  }

  TEST_CASE("an end token ends a text in the middle of a guess") {
    Talker talker({{403, 407}, {407, 261}, {261, 378}, {378, 2}}, {2});
    GenerateOptions options;
    // The prompt goes on where the model ends.
    const Answer answer = talker.Same({403, 407, 261, 378, 300, 301, 403, 407, 261}, options);
    CHECK(answer.ids == Ids{378});
    CHECK(answer.stop_reason == StopReason::kEndToken);
    CHECK(answer.drafted > 0);
  }

  TEST_CASE("guesses that are wrong are forgotten") {
    Talker talker({{5, 6}, {6, 7}, {7, 8}, {8, 5}});
    GenerateOptions options;
    options.max_tokens = 20;
    const Answer answer = talker.Same({6, 7, 8, 9, 1, 5}, options);
    CHECK(answer.drafted > answer.accepted);
    CHECK(answer.accepted > 0);
  }

  TEST_CASE("sampled tokens are the same, token for token, so their distribution is, too") {
    Talker talker(kLoop);
    size_t accepted = 0;
    size_t rejected = 0;
    for (uint64_t seed = 0; seed < 40; ++seed) {
      CAPTURE(seed);
      GenerateOptions options;
      options.max_tokens = 40;
      options.sampling.temperature = seed % 2 == 0 ? 1.2f : 2.0f;
      options.sampling.repeat_penalty = seed % 3 == 0 ? 1.1f : 0.0f;
      options.sampling.top_p = seed % 5 == 0 ? 0.95f : 0.0f;
      options.sampling.seed = seed;
      const Answer answer = talker.Same({403, 407, 261, 378, 403, 407, 261}, options);
      accepted += answer.accepted;
      rejected += answer.drafted - answer.accepted;
    }
    CHECK(accepted > 100);
    CHECK(rejected > 100);
  }

  TEST_CASE("a constraint holds for guessed tokens as for others") {
    Talker talker(kLoop);
    GenerateOptions options;
    options.max_tokens = 40;
    for (const float temperature : {0.0f, 1.5f}) {
      options.sampling.temperature = temperature;
      const Answer answer = talker.Same({403, 407, 261, 378, 403, 407}, options, SIZE_MAX,
                                        "( a time Once upon){3}( a (time|b)){2,4}!");
      CHECK(answer.drafted > 0);
    }
  }

  TEST_CASE("a model that thinks alike guesses, and one with other tokens does not") {
    Talker talker(kLoop);
    std::map<int32_t, int32_t> other = kLoop;
    other[378] = 300;
    other[300] = 403;
    Talker draft(other);
    GenerateOptions options;
    options.max_tokens = 30;
    const Answer answer = talker.Same({403}, options, SIZE_MAX, nullptr, &draft.session());
    CHECK(answer.accepted >= 10);
    CHECK(answer.drafted > answer.accepted);
    // The draws are the same, so that the guesses are good at any temperature.
    Talker twin(kLoop);
    options.sampling.temperature = 2.0f;
    const Answer drawn = talker.Same({403}, options, SIZE_MAX, nullptr, &twin.session());
    CHECK(drawn.accepted == drawn.drafted);
    // A draft's model that is too small for the text says nothing.
    Talker small(kLoop, {}, 9);
    options.sampling.temperature = 0;
    CHECK(talker.Same({403}, options, SIZE_MAX, nullptr, &small.session()).ids.size() == 30);
    CHECK(CheckSameTokens(talker.model(), draft.model()).ok());
    const Talker without(kLoop, {}, 64, false);
    CHECK(CheckSameTokens(talker.model(), without.model()).code() ==
          StatusCode::kFailedPrecondition);
  }

  TEST_CASE("the longest run of tokens that came before says what comes next") {
    CHECK(Drafted({1, 2, 3, 4, 9, 1, 2, 3}, 3) == Ids{4, 9, 1});
    CHECK(Drafted({7, 1, 2, 3, 4, 8, 1, 2, 3, 5, 7, 1, 2, 3}, 2) == Ids{4, 8});
    CHECK(Drafted({6, 1, 2, 3, 4, 8, 1, 2, 3, 5, 7, 1, 2, 3}, 2) == Ids{5, 7});  // the latest
    CHECK(Drafted({1, 2, 3, 1, 2, 3}, 7) == Ids{1, 2, 3, 1, 2, 3, 1});
    CHECK(Drafted({4, 4, 4, 4}, 3) == Ids{4, 4, 4});
    CHECK(Drafted({1, 2, 9, 1, 2}, 3).empty());
    CHECK(Drafted({1}, 3).empty());
    CHECK(Drafted({}, 3).empty());
  }

  // What `tokens` tokens take, compared with plain passes, if a row more takes `share` of one and
  // every `right`-th draft is right as a whole, the others not at all.
  double Cost(double share, size_t right, size_t tokens) {
    constexpr double kPlainNs = 1e6;
    runtime::DraftPace pace;
    double taken = 0;
    size_t made = 0;
    for (size_t pass = 1; made < tokens; ++pass) {
      const size_t drafted = pace.Choose(runtime::kMostDrafted);
      const size_t accepted = right > 0 && pass % right == 0 ? drafted : 0;
      const double ns = kPlainNs * (1 + share * static_cast<double>(drafted));
      pace.Add(drafted, accepted, 0, static_cast<uint64_t>(ns));
      taken += ns;
      made += 1 + accepted;
    }
    return taken / (kPlainNs * static_cast<double>(made));
  }

  TEST_CASE("guessing stops where it does not pay") {
    for (const double share : {0.05, 0.3, 0.6, 1.0}) {
      CAPTURE(share);
      CHECK(Cost(share, 0, 200) < 1.025);
      CHECK(Cost(share, 7, 200) < 1.025);
    }
    CHECK(Cost(0.3, 1, 200) < 0.6);
    CHECK(Cost(0.05, 1, 200) < 0.35);
    CHECK(Cost(0.05, 2, 200) < 0.7);
    CHECK(Cost(2.0, 1, 200) < 1.025);
  }
}

}  // namespace
}  // namespace graft::test
