// SPDX-License-Identifier: Apache-2.0
// Texts that a model writes by itself, token by token, all at once.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "converter/calibrate/graph_runner.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Model;
}  // namespace graft::schema::fb

namespace graft::converter {

/// What a model's chat template puts around messages, as ids. Both empty: there is no template.
struct ChatFrame {
  std::vector<int32_t> before_question;  ///< From the start of a text on.
  std::vector<int32_t> before_answer;    ///< Between a user's message and the answer.

  bool empty() const { return before_question.empty() || before_answer.empty(); }
};

struct TextPlan {
  size_t texts = 0, tokens_each = 0;
  uint64_t seed = 1;
  ChatFrame chat = {};
};

/// Samples texts from the model's own distribution, each from the token that begins a text, or any
/// one if there is none. Behind an end token another text begins. With a ChatFrame the texts are
/// conversations: the model writes a question in the user's place, and behind the end token that it
/// puts there its answer.
/// The same tokens on every CPU and for any number of threads.
/// Source   questions written by the model itself: Magpie (Xu et al. 2024).
/// Returns   ids [texts, tokens_each].
Result<std::vector<int32_t>> WriteTexts(const schema::fb::Model& model, GraphRunner* runner,
                                        const TextPlan& plan, int threads,
                                        const std::function<void(int64_t)>& progress);

}  // namespace graft::converter
