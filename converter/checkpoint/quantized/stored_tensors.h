// SPDX-License-Identifier: Apache-2.0
// StoredTensors: what a quantized checkpoint's files hold, by name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/tensors/weight_file.h"
#include "schema/result.h"

namespace graft::converter {

struct StoredTensor {
  std::string_view name;  ///< As the checkpoint gives it; outlives this.
  const WeightFile* file = nullptr;
  const WeightFile::Entry* entry = nullptr;

  const std::vector<int64_t>& shape() const { return entry->info.shape; }
  DType dtype() const { return entry->info.dtype; }
  int64_t elements() const {
    return static_cast<int64_t>(entry->size_bytes) / DTypeBytes(entry->info.dtype);
  }
  /// "FILE: tensor 'NAME' MESSAGE".
  Status Fail(const std::string& message, StatusCode code = StatusCode::kCorrupt) const;
};

/// The tensors in name order.
class StoredTensors {
 public:
  explicit StoredTensors(std::vector<StoredTensor> sorted) : tensors_(std::move(sorted)) {}

  std::span<const StoredTensor> all() const { return tensors_; }
  /// Null if there is none of that name.
  const StoredTensor* Find(std::string_view name) const;
  /// The one beside `of`, or an error of `of` that says what is missing.
  Result<const StoredTensor*> Get(std::string_view name, const StoredTensor& of) const;

 private:
  std::vector<StoredTensor> tensors_;
};

/// All numbers of a small tensor.
/// Errors   kCorrupt: more than `most` elements; those of reading.
Result<std::vector<double>> ReadSmall(const StoredTensor& tensor, int64_t most);

/// kCorrupt unless `tensor` has `elements` elements, as `why` asks for.
Status CheckElements(const StoredTensor& tensor, int64_t elements, const char* why);

}  // namespace graft::converter
