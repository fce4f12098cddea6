// SPDX-License-Identifier: Apache-2.0
// The part of graft.h about what an encoder-decoder answers to.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/session/session.h"
#include "runtime/tasks/target_text.h"
#include "runtime/tasks/transcribe.h"

using graft::OkStatus;
using graft::Status;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

std::string_view LanguageOf(const char* language) {
  return language == nullptr ? std::string_view() : std::string_view(language);
}

Status SetSource(graft_session* session, const graft_tensor* source) {
  if (session == nullptr) return NullArgument("session");
  if (source == nullptr) return NullArgument("source");
  runtime::TensorView view;
  GRAFT_RETURN_IF_ERROR(ReadTensor(*source, "source", &view));
  session->session->ClearCancel();
  return session->session->SetSource(view);
}

Status EncodeSource(const graft_model* model, const char* text, size_t size, const char* language,
                    int32_t* ids, size_t capacity, size_t* count) {
  if (model == nullptr) return NullArgument("model");
  if (text == nullptr && size > 0) return NullArgument("text");
  if (ids == nullptr && capacity > 0) return NullArgument("ids");
  if (count == nullptr) return NullArgument("count");
  const std::string_view given = size == 0 ? std::string_view() : std::string_view(text, size);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int32_t> encoded,
                         runtime::EncodeSource(*model->text(), given, LanguageOf(language)));
  return CopyOut(encoded, "ids", ids, capacity, count);
}

Status GetStartTokens(const graft_model* model, const char* language, int32_t* ids, size_t capacity,
                      size_t* count) {
  if (model == nullptr) return NullArgument("model");
  if (ids == nullptr && capacity > 0) return NullArgument("ids");
  if (count == nullptr) return NullArgument("count");
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int32_t> start,
                         runtime::StartTokens(*model->text()->model(), LanguageOf(language)));
  return CopyOut(start, "ids", ids, capacity, count);
}

Status Transcribe(graft_session* session, std::span<const float> samples,
                  const graft_transcribe_options* options, graft_transcript_callback callback,
                  void* user, graft_transcribe_result* result) {
  if (session == nullptr) return NullArgument("session");
  if (samples.data() == nullptr && !samples.empty()) return NullArgument("samples");
  if (result != nullptr) GRAFT_RETURN_IF_ERROR(CheckOutStruct(result, "result"));
  graft_transcribe_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  runtime::TranscribeOptions own;
  own.language = LanguageOf(given.language);
  own.translate = given.translate != 0;
  own.timestamps = given.timestamps != 0;
  own.sampling.temperature = given.temperature;
  own.sampling.seed = given.seed;
  runtime::TranscriptCallback on_text;
  if (callback != nullptr) {
    on_text = [callback, user](double begin_s, double end_s, std::string_view text) {
      return callback(user, begin_s, end_s, text.data(), text.size()) == 0;
    };
  }
  session->session->ClearCancel();
  GRAFT_ASSIGN_OR_RETURN(
      const runtime::TranscribeResult outcome,
      runtime::Transcribe(*session->session, *session->model, samples, own, on_text));
  if (result == nullptr) return OkStatus();
  graft_transcribe_result filled{};
  outcome.language.copy(filled.language, sizeof(filled.language) - 1);
  filled.windows = outcome.windows;
  filled.generated_tokens = outcome.generated_tokens;
  filled.features_ns = outcome.features_ns;
  filled.encoder_ns = outcome.encoder_ns;
  filled.decoder_ns = outcome.decoder_ns;
  WriteStruct(filled, result);
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_session_set_source(graft_session* session, const graft_tensor* source,
                                                graft_error* error) {
  return Call([&] { return SetSource(session, source); }, error);
}

GRAFT_API graft_status graft_model_encode_source(const graft_model* model, const char* text,
                                                 size_t size, const char* language, int32_t* ids,
                                                 size_t capacity, size_t* count,
                                                 graft_error* error) {
  return Call([&] { return EncodeSource(model, text, size, language, ids, capacity, count); },
              error);
}

GRAFT_API graft_status graft_model_start_tokens(const graft_model* model, const char* language,
                                                int32_t* ids, size_t capacity, size_t* count,
                                                graft_error* error) {
  return Call([&] { return GetStartTokens(model, language, ids, capacity, count); }, error);
}

GRAFT_API graft_status graft_session_transcribe(graft_session* session, const float* samples,
                                                size_t count,
                                                const graft_transcribe_options* options,
                                                graft_transcript_callback callback, void* user,
                                                graft_transcribe_result* result,
                                                graft_error* error) {
  return Call(
      [&] {
        return Transcribe(session, {samples, count}, options, callback, user, result);
      },
      error);
}
