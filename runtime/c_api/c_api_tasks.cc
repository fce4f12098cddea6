// SPDX-License-Identifier: Apache-2.0
// The part of graft.h for encoders: what a model takes, embeddings of texts, and labels.
#include <graft/graft.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/c_api/c_api_support.h"
#include "runtime/model/model.h"
#include "runtime/session/text_batch.h"
#include "schema/generated/model_generated.h"
#include "schema/verify.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace fb = graft::schema::fb;
namespace runtime = graft::runtime;

namespace {

static_assert(GRAFT_TASK_EMBEDDING == static_cast<int>(fb::TaskKind::Embedding));
static_assert(GRAFT_TASK_CLASSIFICATION == static_cast<int>(fb::TaskKind::Classification));
static_assert(GRAFT_TASK_TOKEN_CLASSIFICATION ==
              static_cast<int>(fb::TaskKind::TokenClassification));

const graft::schema::VerifiedModel& VerifiedOf(const graft_model* model) {
  return model->shared->model()->verified();
}

// First what the caller must bring, then what may be left out.
Status GetInput(const graft_model* model, size_t index, graft_tensor* input) {
  if (model == nullptr) return NullArgument("model");
  if (input == nullptr) return NullArgument("input");
  *input = {};
  const fb::Graph& graph = *VerifiedOf(model).model().graph();
  const bool takes_texts = VerifiedOf(model).facts().text_ends != nullptr;
  size_t left = index;
  for (const auto role :
       {fb::InputRole::TokenIds, fb::InputRole::Tensor, fb::InputRole::TokenTypes}) {
    for (const fb::GraphInput* candidate : *graph.inputs()) {
      if (candidate->role() != role || left-- != 0) continue;
      const fb::Value& value = *graph.values()->Get(static_cast<uint32_t>(candidate->value()));
      input->name = value.name()->c_str();
      input->type = static_cast<int32_t>(value.type());
      if (takes_texts) input->shape[input->rank++] = -1;
      for (uint32_t i = 0; i < value.shape()->size() && input->rank < GRAFT_MAX_RANK; ++i) {
        const fb::Dimension& dimension = *value.shape()->Get(i);
        input->shape[input->rank++] = dimension.symbol() >= 0 ? -1 : dimension.size();
      }
      return OkStatus();
    }
  }
  if (!takes_texts || left != 0)
    return Error(StatusCode::kOutOfRange, "the model has no input %zu", index);
  input->name = "attention_mask";
  input->type = GRAFT_TYPE_I32;
  input->rank = 2;
  input->shape[0] = input->shape[1] = -1;
  return OkStatus();
}

Status GetLabel(const graft_model* model, size_t index, const char** label) {
  if (model == nullptr) return NullArgument("model");
  if (label == nullptr) return NullArgument("label");
  const auto* labels = VerifiedOf(model).model().task()->labels();
  const size_t count = labels == nullptr ? 0 : labels->size();
  if (index >= count)
    return Error(StatusCode::kOutOfRange, "the model has %zu labels, not label %zu", count, index);
  *label = labels->Get(static_cast<uint32_t>(index))->c_str();
  return OkStatus();
}

// All texts' tokens, with their types.
Status Encode(const graft_session& session, std::span<const graft_text> texts,
              runtime::TextBatch* batch) {
  for (size_t i = 0; i < texts.size(); ++i) {
    const graft_text& text = texts[i];
    if (text.text == nullptr && text.size > 0) return NullArgument("texts[].text");
    if (text.pair == nullptr && text.pair_size > 0) return NullArgument("texts[].pair");
    std::optional<std::string_view> pair;
    if (text.pair != nullptr) pair = std::string_view(text.pair, text.pair_size);
    const std::string_view first =
        text.size == 0 ? std::string_view() : std::string_view(text.text, text.size);
    GRAFT_ASSIGN_OR_RETURN(const runtime::TypedIds typed,
                           session.model->EncodeTyped(first, pair, /*add_special=*/true, 0));
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
Status ComputeOneByOne(graft_session& session, const runtime::TextBatch& batch, size_t* width) {
  graft_tensor described{};
  const graft_model model{session.model};
  GRAFT_RETURN_IF_ERROR(GetInput(&model, 0, &described));
  size_t begin = 0;
  for (const int32_t end : batch.ends) {
    runtime::TensorView ids;
    ids.name = described.name;
    ids.type = runtime::ElementType::kInt32;
    ids.shape = {end - static_cast<int64_t>(begin)};
    ids.data = batch.ids.data() + begin;
    GRAFT_ASSIGN_OR_RETURN(const auto outputs, session.session->Forward({&ids, 1}));
    *width = static_cast<size_t>(outputs[0].shape.back());
    const auto rows = static_cast<size_t>(outputs[0].shape[0]);
    const auto* last = static_cast<const float*>(outputs[0].data) + (rows - 1) * *width;
    session.numbers.insert(session.numbers.end(), last, last + *width);
    begin = static_cast<size_t>(end);
  }
  return OkStatus();
}

// The first output's row of each text, in session->numbers.
Status ComputeTexts(graft_session* session, const graft_text* texts, size_t count, size_t* width) {
  if (texts == nullptr) return NullArgument("texts");
  if (count == 0) return Error(StatusCode::kInvalidArgument, "no texts are given");
  session->session->ClearCancel();
  session->numbers.clear();
  runtime::TextBatch batch;
  GRAFT_RETURN_IF_ERROR(Encode(*session, {texts, count}, &batch));
  if (session->model->model()->verified().facts().text_ends == nullptr)
    return ComputeOneByOne(*session, batch, width);
  GRAFT_ASSIGN_OR_RETURN(const auto outputs, session->session->Forward(batch));
  *width = static_cast<size_t>(outputs[0].shape.back());
  const auto* numbers = static_cast<const float*>(outputs[0].data);
  session->numbers.assign(numbers, numbers + count * *width);
  return OkStatus();
}

Status Embed(graft_session* session, const graft_text* texts, size_t count,
             const float** embeddings, size_t* width) {
  GRAFT_RETURN_IF_ERROR(RequireTask(session, GRAFT_TASK_EMBEDDING, "make embeddings"));
  if (embeddings == nullptr) return NullArgument("embeddings");
  if (width == nullptr) return NullArgument("width");
  GRAFT_RETURN_IF_ERROR(ComputeTexts(session, texts, count, width));
  *embeddings = session->numbers.data();
  return OkStatus();
}

void ScoresOf(fb::ScoreKind kind, std::span<float> row) {
  if (kind == fb::ScoreKind::Sigmoid) {
    for (float& score : row) score = 1.0f / (1.0f + std::exp(-score));
  }
  if (kind != fb::ScoreKind::Softmax) return;
  const float largest = *std::max_element(row.begin(), row.end());
  float total = 0.0f;
  for (float& score : row) total += score = std::exp(score - largest);
  for (float& score : row) score /= total;
}

Status Classify(graft_session* session, const graft_text* texts, size_t count, const float** scores,
                size_t* labels) {
  GRAFT_RETURN_IF_ERROR(RequireTask(session, GRAFT_TASK_CLASSIFICATION, "classify texts"));
  if (scores == nullptr) return NullArgument("scores");
  if (labels == nullptr) return NullArgument("labels");
  GRAFT_RETURN_IF_ERROR(ComputeTexts(session, texts, count, labels));
  FinishScores(*session, *labels, &session->numbers);
  *scores = session->numbers.data();
  return OkStatus();
}

Status ClassifyTokens(graft_session* session, const graft_text* text, const int32_t** ids,
                      const float** scores, size_t* tokens, size_t* labels) {
  GRAFT_RETURN_IF_ERROR(RequireTask(session, GRAFT_TASK_TOKEN_CLASSIFICATION, "label tokens"));
  if (text == nullptr) return NullArgument("text");
  if (ids == nullptr) return NullArgument("ids");
  if (scores == nullptr) return NullArgument("scores");
  if (tokens == nullptr) return NullArgument("tokens");
  if (labels == nullptr) return NullArgument("labels");
  session->session->ClearCancel();
  runtime::TextBatch batch;
  GRAFT_RETURN_IF_ERROR(Encode(*session, {text, 1}, &batch));
  GRAFT_ASSIGN_OR_RETURN(const auto outputs, session->session->Forward(batch));
  *labels = static_cast<size_t>(outputs[0].shape.back());
  const auto* numbers = static_cast<const float*>(outputs[0].data);
  session->numbers.assign(numbers, numbers + batch.ids.size() * *labels);
  const fb::ScoreKind kind = session->model->model()->verified().model().task()->scores();
  for (size_t i = 0; i < batch.ids.size(); ++i)
    ScoresOf(kind, std::span(session->numbers).subspan(i * *labels, *labels));
  session->token_ids = std::move(batch.ids);
  *ids = session->token_ids.data();
  *tokens = session->token_ids.size();
  *scores = session->numbers.data();
  return OkStatus();
}

}  // namespace

namespace graft::capi {

Status RequireTask(const graft_session* session, int32_t kind, const char* what) {
  if (session == nullptr) return NullArgument("session");
  const fb::Task& task = *session->model->model()->verified().model().task();
  if (static_cast<int32_t>(task.kind()) == kind) return OkStatus();
  return Error(StatusCode::kUnsupported, "the model does not %s", what);
}

void FinishScores(const graft_session& session, size_t labels, std::vector<float>* scores) {
  const fb::ScoreKind kind = session.model->model()->verified().model().task()->scores();
  for (size_t i = 0; i + labels <= scores->size(); i += labels)
    ScoresOf(kind, std::span(*scores).subspan(i, labels));
}

}  // namespace graft::capi

graft_status graft_model_get_input(const graft_model* model, size_t index, graft_tensor* input,
                                   graft_error* error) {
  return Report(GetInput(model, index, input), error);
}

graft_status graft_model_get_label(const graft_model* model, size_t index, const char** label,
                                   graft_error* error) {
  return Report(GetLabel(model, index, label), error);
}

graft_status graft_embed(graft_session* session, const graft_text* texts, size_t count,
                         const float** embeddings, size_t* width, graft_error* error) {
  return Report(Embed(session, texts, count, embeddings, width), error);
}

graft_status graft_classify(graft_session* session, const graft_text* texts, size_t count,
                            const float** scores, size_t* labels, graft_error* error) {
  return Report(Classify(session, texts, count, scores, labels), error);
}

graft_status graft_classify_tokens(graft_session* session, const graft_text* text,
                                   const int32_t** ids, const float** scores, size_t* tokens,
                                   size_t* labels, graft_error* error) {
  return Report(ClassifyTokens(session, text, ids, scores, tokens, labels), error);
}
