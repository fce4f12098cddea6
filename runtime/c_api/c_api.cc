// SPDX-License-Identifier: Apache-2.0
// graft.h in terms of the C++ below it: checks arguments, converts them, and passes the call on.
#include <graft/graft.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/c_api/c_api_support.h"
#include "runtime/model/model.h"
#include "runtime/model/packed_weights.h"
#include "runtime/platform/cpus.h"
#include "runtime/platform/data_source.h"
#include "runtime/session/session.h"
#include "runtime/tasks/text_model.h"
#include "schema/generated/model_generated.h"
#include "schema/status.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

constexpr size_t kMemoryAlignment = 64;

#define GRAFT_SAME_CODE(c_name, cc_name) \
  static_assert(GRAFT_##c_name == static_cast<int32_t>(StatusCode::cc_name))
GRAFT_SAME_CODE(OK, kOk);
GRAFT_SAME_CODE(INVALID_ARGUMENT, kInvalidArgument);
GRAFT_SAME_CODE(OUT_OF_RANGE, kOutOfRange);
GRAFT_SAME_CODE(FAILED_PRECONDITION, kFailedPrecondition);
GRAFT_SAME_CODE(UNSUPPORTED, kUnsupported);
GRAFT_SAME_CODE(CORRUPT, kCorrupt);
GRAFT_SAME_CODE(UNSUPPORTED_VERSION, kUnsupportedVersion);
GRAFT_SAME_CODE(MISMATCH, kMismatch);
GRAFT_SAME_CODE(NOT_FOUND, kNotFound);
GRAFT_SAME_CODE(IO, kIo);
GRAFT_SAME_CODE(OUT_OF_MEMORY, kOutOfMemory);
GRAFT_SAME_CODE(CANCELLED, kCancelled);
GRAFT_SAME_CODE(INTERNAL, kInternal);
#undef GRAFT_SAME_CODE
static_assert(GRAFT_TASK_TENSORS == static_cast<int>(graft::schema::fb::TaskKind::Tensors));
static_assert(GRAFT_TASK_TEXT_GENERATION ==
              static_cast<int>(graft::schema::fb::TaskKind::TextGeneration));
static_assert(GRAFT_TYPE_F32 == static_cast<int>(runtime::ElementType::kFloat32));
static_assert(GRAFT_TYPE_I32 == static_cast<int>(runtime::ElementType::kInt32));
static_assert(GRAFT_KV_F32 == static_cast<int>(runtime::KvFormat::kFloat32));
static_assert(GRAFT_KV_F16 == static_cast<int>(runtime::KvFormat::kFloat16));
static_assert(GRAFT_KV_I8 == static_cast<int>(runtime::KvFormat::kInt8));
static_assert(GRAFT_CACHE_OFF == static_cast<int>(runtime::CacheState::kOff));
static_assert(GRAFT_CACHE_HIT == static_cast<int>(runtime::CacheState::kHit));
static_assert(GRAFT_CACHE_STORED == static_cast<int>(runtime::CacheState::kStored));
static_assert(GRAFT_CACHE_FAILED == static_cast<int>(runtime::CacheState::kFailed));

Status OpenModel(Result<std::unique_ptr<runtime::DataSource>> source, const char* name,
                 const graft_model_options* options, graft_model** model) {
  if (!source.ok()) return source.status();
  graft_model_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  runtime::ModelOptions model_options;
  model_options.threads = given.threads;
  model_options.verify_contents = given.verify_contents != 0;
  if (given.cache_folder != nullptr) model_options.cache.folder = given.cache_folder;
  model_options.memory_limit_bytes = given.memory_limit_bytes;
  if (given.cache_limit_bytes != 0) model_options.cache.limit_bytes = given.cache_limit_bytes;
  GRAFT_ASSIGN_OR_RETURN(auto shared,
                         runtime::TextModel::Open(std::move(source).value(), model_options, name));
  auto* handle = new (std::nothrow) graft_model{std::move(shared)};
  if (handle == nullptr) return Status(StatusCode::kOutOfMemory, "no memory for a model's handle");
  *model = handle;
  return OkStatus();
}

Status CreateSession(graft_model* model, const graft_session_options* options,
                     graft_session** session) {
  if (model == nullptr) return NullArgument("model");
  if (session == nullptr) return NullArgument("session");
  runtime::SessionOptions session_options;
  GRAFT_RETURN_IF_ERROR(ReadSessionOptions(options, &session_options));
  GRAFT_ASSIGN_OR_RETURN(auto created,
                         runtime::Session::Create(model->shared->model(), session_options));
  auto* handle = new (std::nothrow) graft_session{model->shared, std::move(created), {}};
  if (handle == nullptr) {
    return Status(StatusCode::kOutOfMemory, "no memory for a session's handle");
  }
  *session = handle;
  return OkStatus();
}

Status GetInfo(const graft_model* model, graft_model_info* info) {
  if (model == nullptr) return NullArgument("model");
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(info, "info"));
  const runtime::Model& shared = *model->shared->model();
  const graft::schema::fb::Task& task = *shared.verified().model().task();
  graft_model_info filled{};
  filled.task = static_cast<int32_t>(task.kind());
  filled.architecture = task.architecture() == nullptr ? "" : task.architecture()->c_str();
  filled.context_tokens = shared.context_tokens();
  filled.vocabulary = shared.vocabulary();
  const auto* chat_template = model->shared->model()->verified().model().chat_template();
  filled.has_chat_template = chat_template != nullptr && chat_template->size() > 0;
  filled.takes_images = task.image() != nullptr;
  filled.has_tokenizer = model->shared->tokenizer() != nullptr;
  filled.file_bytes = shared.verified().file_bytes().size();
  filled.identity_high = shared.identity().high;
  filled.identity_low = shared.identity().low;
  filled.cache_state = static_cast<int32_t>(shared.packed_weights().cache_state());
  filled.packed_bytes = shared.packed_weights().bytes();
  const std::string note = shared.packed_weights().cache_note();
  note.copy(filled.cache_note, sizeof(filled.cache_note) - 1);
  WriteStruct(filled, info);
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

Result<runtime::TensorView> ReadTensor(const graft_tensor& tensor, size_t index) {
  runtime::TensorView view;
  if (tensor.name == nullptr)
    return Error(StatusCode::kInvalidArgument, "input %zu has no name", index);
  view.name = tensor.name;
  if (tensor.type != GRAFT_TYPE_F32 && tensor.type != GRAFT_TYPE_I32) {
    return Error(StatusCode::kInvalidArgument, "input %s: %d is no tensor type", tensor.name,
                 tensor.type);
  }
  if (tensor.rank > GRAFT_MAX_RANK) {
    return Error(StatusCode::kInvalidArgument, "input %s: rank %u exceeds %d", tensor.name,
                 tensor.rank, GRAFT_MAX_RANK);
  }
  if (tensor.data == nullptr) {
    return Error(StatusCode::kInvalidArgument, "input %s has no data", tensor.name);
  }
  view.type = static_cast<runtime::ElementType>(tensor.type);
  view.shape.assign(tensor.shape, tensor.shape + tensor.rank);
  view.data = tensor.data;
  return view;
}

Status Forward(graft_session* session, const graft_tensor* inputs, size_t input_count,
               const graft_tensor** outputs, size_t* output_count) {
  if (session == nullptr) return NullArgument("session");
  if (inputs == nullptr && input_count > 0) return NullArgument("inputs");
  if (outputs == nullptr) return NullArgument("outputs");
  if (output_count == nullptr) return NullArgument("output_count");
  std::vector<runtime::TensorView> views;
  for (size_t i = 0; i < input_count; ++i) {
    GRAFT_ASSIGN_OR_RETURN(runtime::TensorView view, ReadTensor(inputs[i], i));
    views.push_back(std::move(view));
  }
  session->session->ClearCancel();
  GRAFT_ASSIGN_OR_RETURN(const auto results, session->session->Forward(views));
  std::vector<graft_tensor> tensors;
  for (const runtime::TensorView& view : results) {
    graft_tensor tensor{};
    if (view.shape.size() > GRAFT_MAX_RANK) {
      return Error(StatusCode::kInternal, "output %s has rank %zu, at most %d fits",
                   view.name.c_str(), view.shape.size(), GRAFT_MAX_RANK);
    }
    tensor.name = view.name.c_str();
    tensor.type = static_cast<int32_t>(view.type);
    tensor.rank = static_cast<uint32_t>(view.shape.size());
    std::copy(view.shape.begin(), view.shape.end(), tensor.shape);
    tensor.data = view.data;
    tensors.push_back(tensor);
  }
  session->outputs = std::move(tensors);
  *outputs = session->outputs.data();
  *output_count = session->outputs.size();
  return OkStatus();
}

Status Append(graft_session* session, const int32_t* ids, size_t count, const float** logits) {
  if (session == nullptr) return NullArgument("session");
  if (ids == nullptr && count > 0) return NullArgument("ids");
  session->session->ClearCancel();
  const float* last = nullptr;
  GRAFT_RETURN_IF_ERROR(
      session->session->Append({ids, count}, logits == nullptr ? nullptr : &last));
  if (logits != nullptr) *logits = last;
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

#define GRAFT_STRINGIZE_INNER(x) #x
#define GRAFT_STRINGIZE(x) GRAFT_STRINGIZE_INNER(x)

const char* graft_version(void) {
  return GRAFT_STRINGIZE(GRAFT_VERSION_MAJOR) "." GRAFT_STRINGIZE(
      GRAFT_VERSION_MINOR) "." GRAFT_STRINGIZE(GRAFT_VERSION_PATCH);
}

const char* graft_status_name(graft_status status) {
  return graft::StatusCodeName(static_cast<StatusCode>(status));
}

graft_status graft_model_open(const char* path, const graft_model_options* options,
                              graft_model** model, graft_error* error) {
  if (path == nullptr) return Report(NullArgument("path"), error);
  if (model == nullptr) return Report(NullArgument("model"), error);
  return Report(OpenModel(runtime::OpenPath(path), path, options, model), error);
}

graft_status graft_model_open_fd(int fd, uint64_t offset, uint64_t size,
                                 const graft_model_options* options, graft_model** model,
                                 graft_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  return Report(
      OpenModel(runtime::OpenDescriptor(fd, offset, size), "file descriptor", options, model),
      error);
}

graft_status graft_model_open_memory(const void* data, size_t size,
                                     const graft_model_options* options, graft_model** model,
                                     graft_error* error) {
  if (data == nullptr) return Report(NullArgument("data"), error);
  if (model == nullptr) return Report(NullArgument("model"), error);
  if (reinterpret_cast<uintptr_t>(data) % kMemoryAlignment != 0) {
    return Report(
        Error(StatusCode::kInvalidArgument, "data is not aligned to %zu bytes", kMemoryAlignment),
        error);
  }
  std::unique_ptr<runtime::DataSource> source(
      new (std::nothrow) runtime::MemorySource({static_cast<const uint8_t*>(data), size}));
  if (source == nullptr) {
    return Report(Status(StatusCode::kOutOfMemory, "no memory for a source"), error);
  }
  return Report(OpenModel(std::move(source), "memory", options, model), error);
}

void graft_model_destroy(graft_model* model) { delete model; }

graft_status graft_model_get_info(const graft_model* model, graft_model_info* info,
                                  graft_error* error) {
  return Report(GetInfo(model, info), error);
}

graft_status graft_session_create(graft_model* model, const graft_session_options* options,
                                  graft_session** session, graft_error* error) {
  return Report(CreateSession(model, options, session), error);
}

void graft_session_destroy(graft_session* session) { delete session; }

void graft_session_cancel(graft_session* session) {
  if (session != nullptr) session->session->Cancel();
}

graft_status graft_session_reset(graft_session* session, graft_error* error) {
  return Report(Rewind(session, 0), error);
}

graft_status graft_session_rewind(graft_session* session, size_t tokens, graft_error* error) {
  return Report(Rewind(session, tokens), error);
}

graft_status graft_session_keep_prefix(graft_session* session, const int32_t* ids, size_t count,
                                       size_t* kept, graft_error* error) {
  return Report(KeepPrefix(session, ids, count, kept), error);
}

graft_status graft_session_save(const graft_session* session, const char* path,
                                graft_error* error) {
  return Report(Save(session, path), error);
}

graft_status graft_session_restore(graft_session* session, const char* path, graft_error* error) {
  return Report(Restore(session, path), error);
}

size_t graft_session_position(const graft_session* session) {
  return session == nullptr ? 0 : session->session->position();
}

graft_status graft_session_get_info(const graft_session* session, graft_session_info* info,
                                    graft_error* error) {
  return Report(GetSessionInfo(session, info), error);
}

graft_status graft_session_measure(graft_session* session, uint8_t on, graft_error* error) {
  return Report(Measure(session, on != 0), error);
}

graft_status graft_session_step_time(const graft_session* session, size_t index,
                                     graft_step_time* time, graft_error* error) {
  return Report(GetStepTime(session, index, time), error);
}

graft_status graft_session_forward(graft_session* session, const graft_tensor* inputs,
                                   size_t input_count, const graft_tensor** outputs,
                                   size_t* output_count, graft_error* error) {
  return Report(Forward(session, inputs, input_count, outputs, output_count), error);
}

graft_status graft_session_append(graft_session* session, const int32_t* ids, size_t count,
                                  const float** logits, graft_error* error) {
  return Report(Append(session, ids, count, logits), error);
}
