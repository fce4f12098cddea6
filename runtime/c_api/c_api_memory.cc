// SPDX-License-Identifier: Apache-2.0
// The part of graft.h about memory: what a model will take, and giving back what can be made again.
#include <cstdint>
#include <memory>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/model/model.h"
#include "runtime/platform/data_source.h"
#include "runtime/session/memory_estimate.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

template <typename Source>
Status Estimate(const Result<Source>& source, const char* name,
                const graft_session_options* options, graft_memory_estimate* estimate) {
  if (!source.ok()) return source.status();
  runtime::SessionOptions session_options;
  GRAFT_RETURN_IF_ERROR(ReadSessionOptions(options, &session_options));
  const Result<runtime::MemoryEstimate> found =
      runtime::EstimateMemory(**source, session_options, runtime::DefaultThreads());
  if (!found.ok()) return found.status().WithContext(name);
  graft_memory_estimate filled{};
  filled.context_tokens = found->sizes.context_tokens;
  filled.threads = found->sizes.threads;
  filled.kv_format = static_cast<int32_t>(runtime::FormatOf(found->sizes.kv_element));
  filled.file_bytes = found->file_bytes;
  filled.packed_bytes = found->packed_bytes;
  filled.kv_bytes = found->kv_bytes;
  filled.activation_bytes = found->activation_bytes;
  filled.peak_bytes = found->packing.peak;
  filled.steady_bytes = found->packing.steady;
  filled.private_bytes = found->packing.own;
  filled.cached_peak_bytes = found->cached.peak;
  filled.cached_steady_bytes = found->cached.steady;
  filled.cached_private_bytes = found->cached.own;
  filled.storing_peak_bytes = found->storing_peak_bytes;
  WriteStruct(filled, estimate);
  return OkStatus();
}

Status TrimModel(const graft_model* model) {
  if (model == nullptr) return NullArgument("model");
  model->text()->Trim();
  return OkStatus();
}

Status TrimSession(graft_session* session) {
  if (session == nullptr) return NullArgument("session");
  session->session->Trim();
  std::vector<graft_tensor>().swap(session->outputs);
  std::vector<float>().swap(session->numbers);
  std::vector<int32_t>().swap(session->token_ids);
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_model_estimate(const char* path, const graft_session_options* options,
                                            graft_memory_estimate* estimate, graft_error* error) {
  return Call(
      [&]() -> Status {
        if (path == nullptr) return NullArgument("path");
        GRAFT_RETURN_IF_ERROR(CheckOutStruct(estimate, "estimate"));
        return Estimate(runtime::OpenPath(path), path, options, estimate);
      },
      error);
}

GRAFT_API graft_status graft_model_estimate_fd(int fd, uint64_t offset, uint64_t size,
                                               const graft_session_options* options,
                                               graft_memory_estimate* estimate,
                                               graft_error* error) {
  return Call(
      [&]() -> Status {
        GRAFT_RETURN_IF_ERROR(CheckOutStruct(estimate, "estimate"));
        return Estimate(runtime::OpenDescriptor(fd, offset, size), "file descriptor", options,
                        estimate);
      },
      error);
}

GRAFT_API graft_status graft_model_estimate_pack(const char* path, const graft_pack* pack,
                                                 const graft_session_options* options,
                                                 graft_memory_estimate* estimate,
                                                 graft_error* error) {
  return Call(
      [&]() -> Status {
        if (path == nullptr) return NullArgument("path");
        if (pack == nullptr) return NullArgument("pack");
        GRAFT_RETURN_IF_ERROR(CheckOutStruct(estimate, "estimate"));
        OpenedAs opened;
        opened.name = path;
        GRAFT_ASSIGN_OR_RETURN(opened.base, runtime::OpenPath(path));
        return Estimate(WithPack(opened, pack), path, options, estimate);
      },
      error);
}

GRAFT_API graft_status graft_model_trim(const graft_model* model, graft_error* error) {
  return Call([&] { return TrimModel(model); }, error);
}

GRAFT_API graft_status graft_session_trim(graft_session* session, graft_error* error) {
  return CallIn(
      session, [&] { return TrimSession(session); }, error);
}
