// SPDX-License-Identifier: Apache-2.0
// The part of graft.h for encoders of texts: embeddings and labels.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/tasks/encoder_tasks.h"
#include "schema/generated/model_generated.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;

namespace {

Status GetLabel(const graft_model* model, size_t index, const char** label) {
  if (model == nullptr) return NullArgument("model");
  if (label == nullptr) return NullArgument("label");
  const auto* labels = model->text()->model()->verified().model().task()->labels();
  const size_t count = labels == nullptr ? 0 : labels->size();
  if (index >= count)
    return Error(StatusCode::kOutOfRange, "the model has %zu labels, not label %zu", count, index);
  *label = labels->Get(static_cast<uint32_t>(index))->c_str();
  return OkStatus();
}

Status ReadText(const graft_text& text, runtime::TextInput* input) {
  if (text.text == nullptr && text.size > 0) return NullArgument("texts[].text");
  if (text.pair == nullptr && text.pair_size > 0) return NullArgument("texts[].pair");
  if (text.size > 0) input->text = std::string_view(text.text, text.size);
  if (text.pair != nullptr) input->pair = std::string_view(text.pair, text.pair_size);
  return OkStatus();
}

using TextTask = Status(const runtime::TextModel& model, runtime::Session& session,
                        std::span<const runtime::TextInput> texts, runtime::TaskRows* rows);

// What `task` gives for the texts; the session keeps it.
Status RunOnTexts(TextTask* task, graft_session* session, const graft_text* texts, size_t count,
                  const float** numbers, size_t* width) {
  std::vector<runtime::TextInput> inputs(count);
  for (size_t i = 0; i < count; ++i) GRAFT_RETURN_IF_ERROR(ReadText(texts[i], &inputs[i]));
  session->session->ClearCancel();
  runtime::TaskRows rows;
  GRAFT_RETURN_IF_ERROR(task(*session->model, *session->session, inputs, &rows));
  session->numbers = std::move(rows.numbers);
  *numbers = session->numbers.data();
  *width = rows.width;
  return OkStatus();
}

Status Embed(graft_session* session, const graft_text* texts, size_t count,
             const float** embeddings, size_t* width) {
  if (session == nullptr) return NullArgument("session");
  if (texts == nullptr) return NullArgument("texts");
  if (embeddings == nullptr) return NullArgument("embeddings");
  if (width == nullptr) return NullArgument("width");
  return RunOnTexts(runtime::EmbedTexts, session, texts, count, embeddings, width);
}

Status Classify(graft_session* session, const graft_text* texts, size_t count, const float** scores,
                size_t* labels) {
  if (session == nullptr) return NullArgument("session");
  if (texts == nullptr) return NullArgument("texts");
  if (scores == nullptr) return NullArgument("scores");
  if (labels == nullptr) return NullArgument("labels");
  return RunOnTexts(runtime::ClassifyTexts, session, texts, count, scores, labels);
}

Status ClassifyTokens(graft_session* session, const graft_text* text, const int32_t** ids,
                      const float** scores, size_t* tokens, size_t* labels) {
  if (session == nullptr) return NullArgument("session");
  if (text == nullptr) return NullArgument("text");
  if (ids == nullptr) return NullArgument("ids");
  if (scores == nullptr) return NullArgument("scores");
  if (tokens == nullptr) return NullArgument("tokens");
  if (labels == nullptr) return NullArgument("labels");
  runtime::TextInput input;
  GRAFT_RETURN_IF_ERROR(ReadText(*text, &input));
  session->session->ClearCancel();
  runtime::TokenScores found;
  GRAFT_RETURN_IF_ERROR(runtime::ClassifyTokens(*session->model, *session->session, input, &found));
  session->token_ids = std::move(found.ids);
  session->numbers = std::move(found.scores.numbers);
  *ids = session->token_ids.data();
  *tokens = session->token_ids.size();
  *scores = session->numbers.data();
  *labels = found.scores.width;
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_model_get_label(const graft_model* model, size_t index,
                                             const char** label, graft_error* error) {
  return Call([&] { return GetLabel(model, index, label); }, error);
}

GRAFT_API graft_status graft_session_embed(graft_session* session, const graft_text* texts,
                                           size_t count, const float** embeddings, size_t* width,
                                           graft_error* error) {
  return CallIn(
      session, [&] { return Embed(session, texts, count, embeddings, width); }, error);
}

GRAFT_API graft_status graft_session_classify(graft_session* session, const graft_text* texts,
                                              size_t count, const float** scores, size_t* labels,
                                              graft_error* error) {
  return CallIn(
      session, [&] { return Classify(session, texts, count, scores, labels); }, error);
}

GRAFT_API graft_status graft_session_classify_tokens(graft_session* session, const graft_text* text,
                                                     const int32_t** ids, const float** scores,
                                                     size_t* tokens, size_t* labels,
                                                     graft_error* error) {
  return CallIn(
      session, [&] { return ClassifyTokens(session, text, ids, scores, tokens, labels); }, error);
}
