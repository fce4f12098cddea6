// SPDX-License-Identifier: Apache-2.0
// What graft-run compare computes from logits and answers.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "platforms/embedded_linux/compare/behaviour.h"
#include "platforms/embedded_linux/compare/figures.h"
#include "platforms/embedded_linux/compare/plot.h"
#include "platforms/embedded_linux/compare/report.h"
#include "platforms/embedded_linux/compare/row_score.h"

namespace graft::test {
namespace {

using graft_run::Behaviour;
using graft_run::BehaviourOf;
using graft_run::RowScore;

RowScore Score(const std::vector<float>& reference, const std::vector<float>& logits,
               size_t target) {
  graft_run::Prediction prediction;
  graft_run::Predict(reference.data(), reference.size(), &prediction);
  return graft_run::ScoreRow(prediction, logits.data(), target);
}

TEST_SUITE("graft-run/compare") {
  TEST_CASE("KL and loss of a row are those of the probabilities") {
    // Probabilities 1/2, 1/4, 1/4 against 1/4, 1/4, 1/2; a constant added to logits changes none.
    const float log2 = std::log(2.0f);
    const RowScore score = Score({log2 + 5, 5, 5}, {-7, -7, log2 - 7}, 2);
    // 1/2 log(2) + 1/4 log(1) + 1/4 log(1/2)
    CHECK(score.kl == doctest::Approx(0.25 * std::log(2.0)).epsilon(1e-6));
    CHECK(score.loss == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    CHECK_FALSE(score.same_top);
  }

  TEST_CASE("equal rows have no KL, also where logits are far apart") {
    const std::vector<float> logits = {-1000, 80, 79, -3};
    const RowScore score = Score(logits, logits, 1);
    CHECK(score.kl == 0);
    CHECK(score.same_top);
    CHECK(score.loss == doctest::Approx(std::log(1 + std::exp(-1.0))).epsilon(1e-6));
  }

  TEST_CASE("scores are summed by the length of the context") {
    graft_run::TextScores scores;
    for (uint64_t position = 1; position <= 40; ++position) {
      const bool is_late = position >= 32;
      scores.Add(position, {is_late ? 0.2 : 0.1, is_late ? 2.0 : 1.0, !is_late}, 1.0);
    }
    const graft_run::TextFigures figures = scores.Summarize();
    CHECK(figures.tokens == 40);
    CHECK(figures.mean_kl == doctest::Approx((31 * 0.1 + 9 * 0.2) / 40));
    CHECK(figures.median_kl == doctest::Approx(0.1));
    CHECK(figures.kl_99 == doctest::Approx(0.2));
    CHECK(figures.same_top == doctest::Approx(31.0 / 40));
    CHECK(figures.perplexity == doctest::Approx(std::exp((31 + 18) / 40.0)));
    CHECK(figures.reference_perplexity == doctest::Approx(std::exp(1.0)));
    REQUIRE(figures.ranges.size() == 3);
    CHECK(figures.ranges[0].tokens == 15);
    CHECK(figures.ranges[1].begin == 16);
    CHECK(figures.ranges[1].end == 32);
    CHECK(figures.ranges[1].tokens == 16);
    CHECK(figures.ranges[2].mean_kl == doctest::Approx(0.2));
    CHECK(figures.ranges[2].perplexity == doctest::Approx(std::exp(2.0)));
  }

  TEST_CASE("JSON is told from what looks like it") {
    for (const char* text : {"{}", "[]", " {\"a\": [1, -0.5, 2e+9, true, null, \"\\u00e9\\n\"]} ",
                             "```json\n{\"a\": {}}\n```", "[[[]]]"}) {
      CHECK_MESSAGE(graft_run::IsJson(text), text);
    }
    for (const char* text :
         {"", "7", "\"a\"", "{", "{\"a\"}", "{\"a\": 01}", "[1,]", "{} {}", "{'a': 1}", "[tru]",
          "{\"a\": \"\n\"}", "{\"a\": \"\\x\"}", "[1.]", "[-]", "```json {}```", "Sure: {}"}) {
      CHECK_FALSE_MESSAGE(graft_run::IsJson(text), text);
    }
    CHECK_FALSE(graft_run::IsJson(std::string(1'000'000, '[')));
  }

  TEST_CASE("thinking is found in the answer or at the prompt's end") {
    Behaviour behaviour = BehaviourOf("Hi", "<think>so</think>{\"a\": 1}", true);
    CHECK(behaviour.closed_thinking);
    CHECK(behaviour.is_json);
    behaviour = BehaviourOf("Hi <think>\n", "so </think> yes", true);
    CHECK(behaviour.opened_thinking);
    CHECK(behaviour.closed_thinking);
    behaviour = BehaviourOf("Hi <think>\n", "so {}", false);
    CHECK(behaviour.opened_thinking);
    CHECK_FALSE(behaviour.closed_thinking);
    CHECK_FALSE(behaviour.is_json);
    CHECK_FALSE(BehaviourOf("Hi", "yes", true).opened_thinking);
  }

  TEST_CASE("the gate asks for what the reference's answers keep, and no more") {
    graft_run::PromptFigures figures;
    figures.reference.behaviour = {true, true, true, true};
    figures.answer.behaviour = {true, false, false, true};  // no thinking at all is none left open
    CHECK(graft_run::GateOf({figures}).passes());
    figures.answer.behaviour = {true, true, false, true};
    CHECK_FALSE(graft_run::GateOf({figures}).passes());
    figures.reference.behaviour = {};
    CHECK(graft_run::GateOf({figures}).passes());
  }

  TEST_CASE("page and plot hold no markup of the files' names and answers") {
    graft_run::Comparison comparison;
    graft_run::FileFigures file;
    file.file = "folder/<b>.graft";
    file.text.ranges.push_back({1, 16, 15, 0.5, 1, 1, 1});
    file.prompts.emplace_back().answer.text = "<script>\x01 & \"x\"";
    comparison.files.push_back(file);
    const std::string page = graft_run::PageOf(comparison);
    CHECK(page.find("<script>") == std::string::npos);
    CHECK(page.find("&lt;script&gt;  &amp; &quot;x&quot;") != std::string::npos);
    CHECK(graft_run::PlotOf(comparison).find("&lt;b&gt;.graft: ") != std::string::npos);
  }
}

}  // namespace
}  // namespace graft::test
