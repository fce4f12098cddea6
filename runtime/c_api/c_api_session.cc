// SPDX-License-Identifier: Apache-2.0
// The part of graft.h about sessions and the tokens they hold.
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/platform/cpus.h"
#include "runtime/session/session.h"
#include "schema/status.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

static_assert(GRAFT_KV_F32 == static_cast<int>(runtime::KvFormat::kFloat32));
static_assert(GRAFT_KV_F16 == static_cast<int>(runtime::KvFormat::kFloat16));
static_assert(GRAFT_KV_I8 == static_cast<int>(runtime::KvFormat::kInt8));

Status CreateSession(graft_model* model, const graft_session_options* options,
                     graft_session** session) {
  if (model == nullptr) return NullArgument("model");
  if (session == nullptr) return NullArgument("session");
  runtime::SessionOptions session_options;
  GRAFT_RETURN_IF_ERROR(ReadSessionOptions(options, &session_options));
  const std::shared_ptr<const runtime::TextModel> text = model->text();
  GRAFT_ASSIGN_OR_RETURN(auto created, runtime::Session::Create(text->model(), session_options));
  std::unique_ptr<graft_session> handle(
      new graft_session{model->slot, text, std::move(created), {}});
  model->slot->Add(handle.get());
  *session = handle.release();
  return OkStatus();
}

Status GetSessionInfo(const graft_session* session, graft_session_info* info) {
  if (session == nullptr) return NullArgument("session");
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(info, "info"));
  graft_session_info filled{};
  filled.threads = session->session->threads();
  filled.context_tokens = session->session->context_tokens();
  filled.weight_bytes = session->session->weight_bytes();
  filled.cache_bytes_per_token = session->session->cache_bytes_per_token();
  filled.kv_format = static_cast<int32_t>(session->session->kv_format());
  WriteStruct(filled, info);
  return OkStatus();
}

Status Measure(graft_session* session, bool on) {
  if (session == nullptr) return NullArgument("session");
  session->session->MeasureSteps(on);
  return OkStatus();
}

Status GetStepTime(const graft_session* session, size_t index, graft_step_time* time) {
  if (session == nullptr) return NullArgument("session");
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(time, "time"));
  const std::vector<runtime::StepTime> times = session->session->step_times();
  if (index >= times.size()) {
    return Error(StatusCode::kOutOfRange, "step kind %zu of %zu", index, times.size());
  }
  graft_step_time filled{};
  filled.kind = times[index].kind;
  filled.calls = times[index].totals.calls;
  filled.wall_ns = times[index].totals.wall_ns;
  filled.busy_ns = times[index].totals.busy_ns;
  filled.weight_bytes = times[index].totals.weight_bytes;
  WriteStruct(filled, time);
  return OkStatus();
}

Status KeepPrefix(graft_session* session, const int32_t* ids, size_t count, size_t* kept) {
  if (session == nullptr) return NullArgument("session");
  if (ids == nullptr && count > 0) return NullArgument("ids");
  const size_t length = session->session->KeepPrefix({ids, count});
  if (kept != nullptr) *kept = length;
  return OkStatus();
}

Status Save(const graft_session* session, const char* path) {
  if (session == nullptr) return NullArgument("session");
  if (path == nullptr) return NullArgument("path");
  // A model with states may have to compute some tokens again.
  session->session->ClearCancel();
  return session->session->Save(path);
}

Status Restore(graft_session* session, const char* path) {
  if (session == nullptr) return NullArgument("session");
  if (path == nullptr) return NullArgument("path");
  return session->session->Restore(path);
}

Status Rewind(graft_session* session, size_t tokens) {
  if (session == nullptr) return NullArgument("session");
  return session->session->Rewind(tokens);
}

}  // namespace

Status graft::capi::ReadSessionOptions(const graft_session_options* options,
                                       runtime::SessionOptions* to) {
  graft_session_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  to->threads = given.threads;
  to->context_tokens = given.context_tokens;
  to->prefill_chunk = given.prefill_chunk;
  to->memory_limit_bytes = given.memory_limit_bytes;
  if (given.cpus != nullptr && *given.cpus != '\0') {
    GRAFT_ASSIGN_OR_RETURN(to->cpus, runtime::ParseCpuList(given.cpus));
  }
  switch (given.kv_format) {
    case GRAFT_KV_AUTO:
      to->kv_format = runtime::KvFormat::kAuto;
      break;
    case GRAFT_KV_F32:
      to->kv_format = runtime::KvFormat::kFloat32;
      break;
    case GRAFT_KV_F16:
      to->kv_format = runtime::KvFormat::kFloat16;
      break;
    case GRAFT_KV_I8:
      to->kv_format = runtime::KvFormat::kInt8;
      break;
    default:
      return Error(StatusCode::kInvalidArgument, "options.kv_format is %d, which is no KV format",
                   given.kv_format);
  }
  return OkStatus();
}

GRAFT_API graft_status graft_session_create(graft_model* model,
                                            const graft_session_options* options,
                                            graft_session** session, graft_error* error) {
  return Call([&] { return CreateSession(model, options, session); }, error);
}

GRAFT_API void graft_session_destroy(graft_session* session) {
  if (session != nullptr) session->slot->Remove(session);
  delete session;
}

GRAFT_API void graft_session_cancel(graft_session* session) {
  if (session != nullptr) session->session->Cancel();
}

GRAFT_API graft_status graft_session_reset(graft_session* session, graft_error* error) {
  return CallIn(
      session, [&] { return Rewind(session, 0); }, error);
}

GRAFT_API graft_status graft_session_rewind(graft_session* session, size_t tokens,
                                            graft_error* error) {
  return CallIn(
      session, [&] { return Rewind(session, tokens); }, error);
}

GRAFT_API graft_status graft_session_keep_prefix(graft_session* session, const int32_t* ids,
                                                 size_t count, size_t* kept, graft_error* error) {
  return CallIn(
      session, [&] { return KeepPrefix(session, ids, count, kept); }, error);
}

GRAFT_API graft_status graft_session_save(const graft_session* session, const char* path,
                                          graft_error* error) {
  return CallIn(
      session, [&] { return Save(session, path); }, error);
}

GRAFT_API graft_status graft_session_restore(graft_session* session, const char* path,
                                             graft_error* error) {
  return CallIn(
      session, [&] { return Restore(session, path); }, error);
}

GRAFT_API size_t graft_session_position(const graft_session* session) {
  return session == nullptr ? 0 : session->session->position();
}

GRAFT_API graft_status graft_session_get_info(const graft_session* session,
                                              graft_session_info* info, graft_error* error) {
  return CallIn(
      session, [&] { return GetSessionInfo(session, info); }, error);
}

GRAFT_API graft_status graft_session_measure(graft_session* session, uint8_t on,
                                             graft_error* error) {
  return CallIn(
      session, [&] { return Measure(session, on != 0); }, error);
}

GRAFT_API graft_status graft_session_step_time(const graft_session* session, size_t index,
                                               graft_step_time* time, graft_error* error) {
  return CallIn(
      session, [&] { return GetStepTime(session, index, time); }, error);
}
