// SPDX-License-Identifier: Apache-2.0
// TensorSource: named matrices handed out row by row as the exact numbers they are, whatever file
// or merge they come from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

/// Element types a checkpoint stores. kFloat64, the integers and the floats of 8 bits are read, never
/// written by a merge.
enum class DType : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
  kUInt32,
  kFloat8E4M3,  ///< Of the finite kind: up to 448, no infinities.
  kFloat8E5M2,
  kFloat8E8M0  ///< Powers of two alone, as scales.
};

/// Bytes of one element.
int64_t DTypeBytes(DType dtype);
/// "F32", "BF16", ...: the name in safetensors files.
const char* DTypeName(DType dtype);
/// Whether the type is one of the four floating-point ones of 16 bits and more: the only ones a merge
/// changes.
bool IsFloat(DType dtype);

struct TensorInfo {
  std::string name;
  DType dtype = DType::kFloat32;
  std::vector<int64_t> shape;

  /// shape[0], or 1 for a scalar; what ReadRows counts.
  int64_t rows() const { return shape.empty() ? 1 : shape[0]; }
  /// Elements of one row: the product of the dimensions after the first.
  int64_t row_elements() const;
  /// As converter::ShapeText has it.
  std::string ShapeText() const;
};

/// "[64, 96]".
std::string ShapeText(std::span<const int64_t> shape);

/// Numbers are handed out in float64: every stored type converts exactly, and a merged tensor is
/// not rounded on the way. Thread-safe for concurrent reads. A merged source widens its low-rank
/// factors once for each call, so calls that ask for a few dozen rows at a time cost least; the
/// values do not depend on how rows are grouped.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// All tensors, in name order.
  virtual std::span<const TensorInfo> tensors() const = 0;

  /// Null if there is none of that name.
  virtual const TensorInfo* Find(std::string_view name) const = 0;

  /// Fills out[(row_end - row_begin) * row_elements] with rows [row_begin, row_end) of the tensor
  /// called `name`.
  /// Errors   kNotFound, kOutOfRange, kIo, kCorrupt, each naming file and tensor.
  virtual Status ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                          std::span<double> out) const = 0;

  /// The same rows before any adapter: what delta measures compare with. For a source without
  /// adapter: ReadRows. Rows the base does not have (a grown vocabulary, a head the adapter brings)
  /// are zero.
  virtual Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                              std::span<double> out) const = 0;

  /// ReadRows into `merged` and ReadBaseRows into `base`, reading the file once where that can be.
  virtual Status ReadRowsAndBase(std::string_view name, int64_t row_begin, int64_t row_end,
                                 std::span<double> merged, std::span<double> base) const;

  /// Whether an adapter changes this tensor; if not, ReadRows and ReadBaseRows are the same
  /// numbers.
  virtual bool IsAdapted(std::string_view name) const;
};

/// The module whose weight is called `name`: what stands before ".weight"; empty if `name` does not
/// end so.
std::string_view ModuleOfWeight(std::string_view name);

/// Whether `name` is `ending`, or ends with it after a dot.
bool NameEndsWith(std::string_view name, std::string_view ending);

}  // namespace graft::converter
