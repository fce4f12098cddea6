// SPDX-License-Identifier: Apache-2.0
// PackedTensor: a weight that several tensors of a file make up, read as the numbers they stand for.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "converter/checkpoint/quantized/number_matrix.h"
#include "converter/tensors/tensor_source.h"
#include "schema/status.h"

namespace graft::converter {

/// Immutable; reads are thread-safe.
class PackedTensor {
 public:
  explicit PackedTensor(TensorInfo info) : info_(std::move(info)) {}
  virtual ~PackedTensor() = default;
  PackedTensor(const PackedTensor&) = delete;
  PackedTensor& operator=(const PackedTensor&) = delete;

  /// Its name, its true shape, and the float type that a checkpoint without codes gives it.
  const TensorInfo& info() const { return info_; }
  /// As TensorSource::ReadRows, each number exact or rounded as the format's library does in
  /// float32.
  Status ReadRows(int64_t row_begin, int64_t row_end, std::span<double> out) const;

 protected:
  /// Requires a range inside the tensor, and `out` of its size, not empty.
  virtual Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const = 0;

 private:
  TensorInfo info_;
};

/// (code - zero) * scale + bias, or the sums and products of these that are there.
struct GroupScales {
  std::unique_ptr<NumberMatrix> scale;
  std::unique_ptr<NumberMatrix> zero;  ///< Null, or of the size of scale.
  std::unique_ptr<NumberMatrix> bias;  ///< Null, or of the size of scale.
  int64_t rows_each = 1;               ///< So many rows of codes share a row of scales.
  int64_t columns_each = 1;            ///< So many neighbours in a row share a scale.
  /// If not empty, the scale of each column, whatever columns_each says.
  std::vector<int32_t> group_of_column;
};

/// Float64 throughout: products of stored numbers are exact, a sum with a bias is rounded once.
/// Requires scales that cover the codes; `codes` may be cut into other rows than info says, as long
/// as they lie in the same order.
std::unique_ptr<PackedTensor> ScaledTensor(TensorInfo info, std::unique_ptr<NumberMatrix> codes,
                                           GroupScales scales);
/// Numbers without scales.
std::unique_ptr<PackedTensor> UnscaledTensor(TensorInfo info, std::unique_ptr<NumberMatrix> codes);
/// For a tensor [E, in, out] whose numbers are stored as E matrices [out, in].
std::unique_ptr<PackedTensor> TransposedEach(TensorInfo info, std::unique_ptr<PackedTensor> stored);

}  // namespace graft::converter
