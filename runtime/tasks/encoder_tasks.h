// SPDX-License-Identifier: Apache-2.0
// What encoders are for: embeddings of texts, and scores for their labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/session.h"
#include "runtime/tasks/text_model.h"
#include "schema/status.h"

namespace graft::schema::fb {
enum class TaskKind : uint8_t;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// A text, or two that belong together.
struct TextInput {
  std::string_view text;
  std::optional<std::string_view> pair = std::nullopt;
};

/// A row of `width` numbers for each item, one after the other.
struct TaskRows {
  std::vector<float> numbers;
  size_t width = 0;

  /// Adds `count` rows of an output, from its row `first` on.
  void Append(const TensorView& output, size_t first, size_t count);
};

/// Errors   kUnsupported, "the model does not `what`": its task is another one than `task`.
Status RequireTask(const Model& model, schema::fb::TaskKind task, const char* what);

/// Turns the logits of rows into what the model's file says its scores are, in place: probabilities
/// that add up to 1, a probability for each label, or the logits themselves.
void FinishScores(const Model& model, TaskRows* rows);

/// *rows receives a vector for each text, which is what the text gives alone. Texts are cut to the
/// length that the tokenizer says. What the session held is forgotten. After a failure *rows holds
/// nothing of use.
/// Errors   kUnsupported: the task is another one;
///          kFailedPrecondition: no tokenizer;
///          kInvalidArgument: no texts, or a text without tokens;
///          kOutOfRange: a text longer than the model has positions for;
///          those of Session::Forward.
Status EmbedTexts(const TextModel& model, Session& session, std::span<const TextInput> texts,
                  TaskRows* rows);

/// A score of each label for each text, likewise.
/// Errors   as EmbedTexts.
Status ClassifyTexts(const TextModel& model, Session& session, std::span<const TextInput> texts,
                     TaskRows* rows);

struct TokenScores {
  std::vector<int32_t> ids;  ///< of the text, special tokens among them
  TaskRows scores;           ///< a score of each label for each id
};

/// A score of each label for each token of one text.
/// Errors   as EmbedTexts.
Status ClassifyTokens(const TextModel& model, Session& session, const TextInput& text,
                      TokenScores* result);

}  // namespace graft::runtime
