// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that turns text into tokens and back.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"

using graft::Status;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

Status Tokenize(const graft_model* model, const char* text, size_t size, bool add_special,
                int32_t* ids, size_t capacity, size_t* count) {
  if (model == nullptr) return NullArgument("model");
  if (text == nullptr && size > 0) return NullArgument("text");
  if (ids == nullptr && capacity > 0) return NullArgument("ids");
  if (count == nullptr) return NullArgument("count");
  GRAFT_ASSIGN_OR_RETURN(
      const auto encoded,
      model->text()->Encode(size == 0 ? std::string_view() : std::string_view(text, size),
                            add_special));
  return CopyOut(encoded, "ids", ids, capacity, count);
}

Status Detokenize(const graft_model* model, const int32_t* ids, size_t count, bool skip_special,
                  char* text, size_t capacity, size_t* size) {
  if (model == nullptr) return NullArgument("model");
  if (ids == nullptr && count > 0) return NullArgument("ids");
  if (text == nullptr && capacity > 0) return NullArgument("text");
  if (size == nullptr) return NullArgument("size");
  GRAFT_ASSIGN_OR_RETURN(const std::string decoded,
                         model->text()->Decode({ids, count}, skip_special));
  return CopyOut(decoded, "bytes", text, capacity, size);
}

Status TokenizePair(const graft_model* model, const char* first, size_t first_size,
                    const char* second, size_t second_size, const graft_tokenize_options* options,
                    int32_t* ids, int32_t* type_ids, size_t capacity, size_t* count) {
  if (model == nullptr) return NullArgument("model");
  if (first == nullptr && first_size > 0) return NullArgument("first");
  if (second == nullptr && second_size > 0) return NullArgument("second");
  if (ids == nullptr && capacity > 0) return NullArgument("ids");
  if (count == nullptr) return NullArgument("count");
  graft_tokenize_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  std::optional<std::string_view> other;
  if (second != nullptr) other = std::string_view(second, second_size);
  GRAFT_ASSIGN_OR_RETURN(
      const graft::runtime::TypedIds typed,
      model->text()->EncodeTyped(
          first_size == 0 ? std::string_view() : std::string_view(first, first_size), other,
          given.without_special == 0, given.max_tokens));
  if (type_ids != nullptr) {
    std::copy_n(typed.type_ids.begin(), std::min(typed.type_ids.size(), capacity), type_ids);
  }
  return CopyOut(typed.ids, "ids", ids, capacity, count);
}

}  // namespace

GRAFT_API graft_status graft_model_tokenize(const graft_model* model, const char* text, size_t size,
                                            uint8_t add_special, int32_t* ids, size_t capacity,
                                            size_t* count, graft_error* error) {
  return Call([&] { return Tokenize(model, text, size, add_special != 0, ids, capacity, count); },
              error);
}

GRAFT_API graft_status graft_model_detokenize(const graft_model* model, const int32_t* ids,
                                              size_t count, uint8_t skip_special, char* text,
                                              size_t capacity, size_t* size, graft_error* error) {
  return Call(
      [&] { return Detokenize(model, ids, count, skip_special != 0, text, capacity, size); },
      error);
}

GRAFT_API graft_status graft_model_tokenize_pair(const graft_model* model, const char* first,
                                                 size_t first_size, const char* second,
                                                 size_t second_size,
                                                 const graft_tokenize_options* options,
                                                 int32_t* ids, int32_t* type_ids, size_t capacity,
                                                 size_t* count, graft_error* error) {
  return Call(
      [&] {
        return TokenizePair(model, first, first_size, second, second_size, options, ids, type_ids,
                            capacity, count);
      },
      error);
}
