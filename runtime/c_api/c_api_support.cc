// SPDX-License-Identifier: Apache-2.0
#include "runtime/c_api/c_api_support.h"

#include <cstring>
#include <string_view>

namespace graft::capi {
namespace {

constexpr size_t kMaxStructBytes = 4096;

bool IsStructSize(size_t size) { return size >= sizeof(size_t) && size <= kMaxStructBytes; }

}  // namespace

graft_status Report(const Status& status, graft_error* error) {
  const auto code = static_cast<graft_status>(status.code());
  if (error == nullptr) return code;
  error->code = code;
  const std::string_view message = status.message();
  const size_t size = std::min(message.size(), sizeof(error->message) - 1);
  if (size > 0) std::memcpy(error->message, message.data(), size);  // an ok status has no text
  MakeShowable(error->message, size);
  error->message[size] = '\0';
  return code;
}

graft_status ReportOutOfMemory(graft_error* error) {
  if (error == nullptr) return GRAFT_OUT_OF_MEMORY;
  error->code = GRAFT_OUT_OF_MEMORY;
  std::strcpy(error->message, "out of memory: an allocation failed");
  return GRAFT_OUT_OF_MEMORY;
}

Status ReadTensor(const graft_tensor& tensor, const char* name, runtime::TensorView* view) {
  if (tensor.type != GRAFT_TYPE_F32 && tensor.type != GRAFT_TYPE_I32)
    return Error(StatusCode::kInvalidArgument, "input %s: %d is no tensor type", name, tensor.type);
  if (tensor.rank > GRAFT_MAX_RANK) {
    return Error(StatusCode::kInvalidArgument, "input %s: rank %u exceeds %d", name, tensor.rank,
                 GRAFT_MAX_RANK);
  }
  if (tensor.data == nullptr)
    return Error(StatusCode::kInvalidArgument, "input %s has no data", name);
  view->type = static_cast<runtime::ElementType>(tensor.type);
  view->shape.assign(tensor.shape, tensor.shape + tensor.rank);
  view->data = tensor.data;
  return OkStatus();
}

Status NullArgument(const char* name) {
  return Error(StatusCode::kInvalidArgument, "%s is NULL", name);
}

Status ReadStructBytes(const void* from, size_t size, size_t known, const char* name, void* to) {
  if (!IsStructSize(size)) {
    return Error(StatusCode::kInvalidArgument, "%s.struct_size is %zu; set it to sizeof", name,
                 size);
  }
  std::memcpy(to, from, std::min(size, known));
  const auto* raw = static_cast<const unsigned char*>(from);
  for (size_t i = known; i < size; ++i) {
    if (raw[i] == 0) continue;
    return Error(StatusCode::kInvalidArgument, "%s sets a field that this version does not know",
                 name);
  }
  return OkStatus();
}

Status CheckOutStructSize(size_t size, const char* name) {
  if (IsStructSize(size)) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "%s->struct_size is %zu; set it to sizeof", name,
               size);
}

void WriteStructBytes(const void* from, size_t known, void* to, size_t size) {
  std::memcpy(to, from, std::min(size, known));
  if (size > known) std::memset(static_cast<char*>(to) + known, 0, size - known);
}

}  // namespace graft::capi
