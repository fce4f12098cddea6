// SPDX-License-Identifier: Apache-2.0
// What the files of the C interface share: its handles, and how arguments and errors cross it.
#pragma once

#include <graft/graft.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/chat/chat_template.h"
#include "runtime/model/model.h"
#include "runtime/session/session.h"
#include "runtime/tasks/text_model.h"
#include "schema/result.h"
#include "schema/verify.h"

struct graft_model {
  explicit graft_model(std::shared_ptr<const graft::runtime::TextModel> model)
      : shared(std::move(model)), chat_template(shared->model()->verified().model()) {}

  std::shared_ptr<const graft::runtime::TextModel> shared;
  graft::runtime::ModelTemplate chat_template;
};

struct graft_session {
  std::shared_ptr<const graft::runtime::TextModel> model;
  std::unique_ptr<graft::runtime::Session> session;
  std::vector<graft_tensor> outputs;
  std::vector<float> numbers = {};      // embeddings, scores
  std::vector<int32_t> token_ids = {};  // that scores are of
};

namespace graft::capi {

inline constexpr size_t kMaxStructBytes = 4096;

/// Tells the caller how it went, and returns the code.
inline graft_status Report(const Status& status, graft_error* error) {
  const auto code = static_cast<graft_status>(status.code());
  if (error == nullptr) return code;
  error->code = code;
  const std::string_view message = status.message();
  const size_t size = std::min(message.size(), sizeof(error->message) - 1);
  if (size > 0) std::memcpy(error->message, message.data(), size);  // an ok status has no text
  error->message[size] = '\0';
  return code;
}

inline Status NullArgument(const char* name) {
  return Error(StatusCode::kInvalidArgument, "%s is NULL", name);
}

/// Copies a struct whose caller may know fewer fields than this library, or more, as long as those
/// are zero. `from` may be null, which means all defaults.
template <typename T>
Status ReadStruct(const T* from, const char* name, T* to) {
  *to = T{};
  if (from == nullptr) return OkStatus();
  const size_t bytes = from->struct_size;
  if (bytes < sizeof(size_t) || bytes > kMaxStructBytes) {
    return Error(StatusCode::kInvalidArgument, "%s.struct_size is %zu; set it to sizeof", name,
                 bytes);
  }
  std::memcpy(to, from, std::min(bytes, sizeof(T)));
  const auto* raw = reinterpret_cast<const unsigned char*>(from);
  if (bytes > sizeof(T) &&
      std::any_of(raw + sizeof(T), raw + bytes, [](unsigned char byte) { return byte != 0; })) {
    return Error(StatusCode::kInvalidArgument, "%s sets a field that this version does not know",
                 name);
  }
  return OkStatus();
}

/// options may be null.
Status ReadSessionOptions(const graft_session_options* options, runtime::SessionOptions* to);

template <typename T>
Status CheckOutStruct(const T* out, const char* name) {
  if (out == nullptr) return NullArgument(name);
  if (out->struct_size >= sizeof(size_t) && out->struct_size <= kMaxStructBytes) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "%s->struct_size is %zu; set it to sizeof", name,
               out->struct_size);
}

/// Fills in as many fields as the caller knows, and zeros those that only the caller knows;
/// struct_size stays the caller's.
template <typename T>
void WriteStruct(T from, T* to) {
  const size_t bytes = to->struct_size;
  from.struct_size = bytes;
  std::memcpy(to, &from, std::min(bytes, sizeof(T)));
  if (bytes > sizeof(T)) std::memset(reinterpret_cast<char*>(to) + sizeof(T), 0, bytes - sizeof(T));
}

/// Copies what fits of `from` and says how much there is.
template <typename T, typename Source>
Status CopyOut(const Source& from, const char* what, T* to, size_t capacity, size_t* count) {
  std::copy_n(from.begin(), std::min(from.size(), capacity), to);
  *count = from.size();
  if (from.size() <= capacity) return OkStatus();
  return Error(StatusCode::kOutOfRange, "%zu %s do not fit in a capacity of %zu", from.size(), what,
               capacity);
}

}  // namespace graft::capi
