// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/inputs/source_input.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/safetensors.h"
#include "platforms/embedded_linux/model/model_handle.h"

namespace graft_run {
namespace {

// Calls a function with the rule of capacity: once for the count, once for the ids.
template <typename Get>
bool ReadIds(const std::string& model_file, std::vector<int32_t>* ids, const Get& get) {
  graft_error error{};
  size_t count = 0;
  ids->resize(256);
  graft_status status = get(ids->data(), ids->size(), &count, &error);
  if (status == GRAFT_OUT_OF_RANGE && count > ids->size()) {
    ids->resize(count);
    status = get(ids->data(), ids->size(), &count, &error);
  }
  if (status != GRAFT_OK) {
    Fail(model_file, error.message);
    return false;
  }
  ids->resize(count);
  return true;
}

}  // namespace

bool ReadSourceFile(const std::string& file, const graft_model* model, SourceInput* source) {
  SafetensorsReader reader;
  if (!reader.Open(file)) return false;
  // The source comes behind the tokens.
  graft_tensor wanted{};
  if (graft_model_get_input(model, 1, &wanted, nullptr) != GRAFT_OK) {
    Fail(file, "the model takes no source");
    return false;
  }
  const TensorEntry* entry = reader.Find(wanted.name);
  if (entry == nullptr || entry->shape.empty()) {
    Fail(file, std::string("holds no ") + wanted.name);
    return false;
  }
  source->shape = entry->shape;
  if (source->shape.size() == wanted.rank + 1 && source->shape[0] == 1)
    source->shape.erase(source->shape.begin());
  return wanted.type == GRAFT_TYPE_I32 ? reader.ReadIntegers(*entry, &source->ids)
                                       : reader.ReadReals(*entry, &source->features);
}

bool EncodeSource(const std::string& model_file, const graft_model* model, const std::string& text,
                  const std::string& language, SourceInput* source) {
  std::vector<int32_t> ids;
  const auto encode = [&](int32_t* to, size_t capacity, size_t* count, graft_error* error) {
    return graft_model_encode_source(model, text.data(), text.size(), language.c_str(), to,
                                     capacity, count, error);
  };
  if (!ReadIds(model_file, &ids, encode)) return false;
  if (ids.empty()) {
    Fail(model_file, "the source is empty, and this model puts no token around a text");
    return false;
  }
  SetSourceIds(std::move(ids), source);
  return true;
}

void SetSourceIds(std::vector<int32_t> ids, SourceInput* source) {
  source->ids = std::move(ids);
  source->shape = {static_cast<int64_t>(source->ids.size())};
}

bool ReadStartTokens(const std::string& model_file, const graft_model* model,
                     const std::string& language, std::vector<int32_t>* ids) {
  return ReadIds(
      model_file, ids, [&](int32_t* to, size_t capacity, size_t* count, graft_error* error) {
        return graft_model_start_tokens(model, language.c_str(), to, capacity, count, error);
      });
}

uint64_t SourceTokens(const SourceInput& source) { return source.ids.size(); }

bool SetSource(const std::string& model_file, graft_session* session, const SourceInput& source) {
  if (source.shape.empty()) return true;
  graft_tensor tensor{};
  tensor.name = "source";
  tensor.type = source.features.empty() ? GRAFT_TYPE_I32 : GRAFT_TYPE_F32;
  tensor.rank = static_cast<uint32_t>(std::min<size_t>(source.shape.size(), GRAFT_MAX_RANK));
  std::copy_n(source.shape.begin(), tensor.rank, tensor.shape);
  tensor.data = source.features.empty() ? static_cast<const void*>(source.ids.data())
                                        : source.features.data();
  graft_error error{};
  const InterruptGuard guard(session);
  if (graft_session_set_source(session, &tensor, &error) == GRAFT_OK) return true;
  FailCall(model_file, error);
  return false;
}

}  // namespace graft_run
