// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/encoder_tasks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "runtime/session/text_batch.h"
#include "runtime/tasks/model_inputs.h"
#include "schema/generated/model_generated.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// All texts' tokens, with their types, the model's prompt before each.
Status Encode(const TextModel& model, const Session& session, std::span<const TextInput> texts,
              TextBatch* batch) {
  const flatbuffers::String* prompt = model.model()->verified().model().task()->prompt();
  std::string prompted;
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string_view text = texts[i].text;
    if (prompt != nullptr) text = prompted.assign(prompt->c_str(), prompt->size()).append(text);
    GRAFT_ASSIGN_OR_RETURN(
        const TypedIds typed,
        model.EncodeTyped(text, texts[i].pair, /*add_special=*/true, 0, &session.cancel()));
    if (typed.ids.empty()) return Error(StatusCode::kInvalidArgument, "text %zu has no tokens", i);
    batch->ids.insert(batch->ids.end(), typed.ids.begin(), typed.ids.end());
    batch->types.insert(batch->types.end(), typed.type_ids.begin(), typed.type_ids.end());
    if (batch->ids.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
      return Error(StatusCode::kOutOfRange, "the texts have more than 2^31 tokens");
    batch->ends.push_back(static_cast<int32_t>(batch->ids.size()));
  }
  return OkStatus();
}

// Of a model that takes one text at a time and gives a row for each token: the last token's row.
Status ComputeOneByOne(const Model& model, Session& session, const TextBatch& batch,
                       TaskRows* rows) {
  GRAFT_ASSIGN_OR_RETURN(const ModelInput input, DescribeInput(model, 0));
  size_t begin = 0;
  for (const int32_t end : batch.ends) {
    TensorView ids;
    ids.name = input.name;
    ids.type = ElementType::kInt32;
    ids.shape = {end - static_cast<int64_t>(begin)};
    ids.data = batch.ids.data() + begin;
    GRAFT_ASSIGN_OR_RETURN(const auto outputs, session.Forward({&ids, 1}));
    rows->Append(outputs[0], static_cast<size_t>(outputs[0].shape[0]) - 1, 1);
    begin = static_cast<size_t>(end);
  }
  return OkStatus();
}

// The first output's row of each text.
Status ComputeTexts(const TextModel& model, Session& session, std::span<const TextInput> texts,
                    TaskRows* rows) {
  if (texts.empty()) return Error(StatusCode::kInvalidArgument, "no texts are given");
  TextBatch batch;
  GRAFT_RETURN_IF_ERROR(Encode(model, session, texts, &batch));
  if (model.model()->verified().facts().text_ends == nullptr)
    return ComputeOneByOne(*model.model(), session, batch, rows);
  GRAFT_ASSIGN_OR_RETURN(const auto outputs, session.Forward(batch));
  rows->Append(outputs[0], 0, texts.size());
  return OkStatus();
}

void Softmax(std::span<float> row) {
  const float largest = *std::max_element(row.begin(), row.end());
  float total = 0.0f;
  for (float& score : row) total += score = std::exp(score - largest);
  for (float& score : row) score /= total;
}

}  // namespace

void TaskRows::Append(const TensorView& output, size_t first, size_t count) {
  width = static_cast<size_t>(output.shape.back());
  const auto* from = static_cast<const float*>(output.data) + first * width;
  numbers.insert(numbers.end(), from, from + count * width);
}

Status RequireTask(const Model& model, fb::TaskKind task, const char* what) {
  if (model.verified().model().task()->kind() == task) return OkStatus();
  return Error(StatusCode::kUnsupported, "the model does not %s", what);
}

void FinishScores(const Model& model, TaskRows* rows) {
  const fb::ScoreKind kind = model.verified().model().task()->scores();
  if (kind == fb::ScoreKind::Sigmoid) {
    for (float& score : rows->numbers) score = 1.0f / (1.0f + std::exp(-score));
  }
  if (kind != fb::ScoreKind::Softmax) return;
  for (size_t i = 0; i < rows->numbers.size(); i += rows->width)
    Softmax(std::span(rows->numbers).subspan(i, rows->width));
}

Status EmbedTexts(const TextModel& model, Session& session, std::span<const TextInput> texts,
                  TaskRows* rows) {
  GRAFT_RETURN_IF_ERROR(RequireTask(*model.model(), fb::TaskKind::Embedding, "make embeddings"));
  return ComputeTexts(model, session, texts, rows);
}

Status ClassifyTexts(const TextModel& model, Session& session, std::span<const TextInput> texts,
                     TaskRows* rows) {
  GRAFT_RETURN_IF_ERROR(
      RequireTask(*model.model(), fb::TaskKind::Classification, "classify texts"));
  GRAFT_RETURN_IF_ERROR(ComputeTexts(model, session, texts, rows));
  FinishScores(*model.model(), rows);
  return OkStatus();
}

Status ClassifyTokens(const TextModel& model, Session& session, const TextInput& text,
                      TokenScores* result) {
  GRAFT_RETURN_IF_ERROR(
      RequireTask(*model.model(), fb::TaskKind::TokenClassification, "label tokens"));
  TextBatch batch;
  GRAFT_RETURN_IF_ERROR(Encode(model, session, {&text, 1}, &batch));
  GRAFT_ASSIGN_OR_RETURN(const auto outputs, session.Forward(batch));
  result->scores.Append(outputs[0], 0, batch.ids.size());
  FinishScores(*model.model(), &result->scores);
  result->ids = std::move(batch.ids);
  return OkStatus();
}

}  // namespace graft::runtime
