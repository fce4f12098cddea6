// SPDX-License-Identifier: Apache-2.0
// ConstantTable: the tensors that a model's ops name, each checked against the checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/lower/constant.h"
#include "converter/lower/shapes.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// A missing tensor or a wrong shape does not stop the description of a model: the first such fault
/// is kept, so that a lowering reads as the model does. Asking twice for the same tensor gives the
/// same TensorId.
class ConstantTable {
 public:
  /// `source` must outlive the table. `source_name` is what messages call it.
  ConstantTable(const TensorSource& source, std::string source_name)
      : source_(source), source_name_(std::move(source_name)) {}

  /// Source names that begin with `prefix` begin with `stored` in the checkpoint.
  void Rename(std::string_view prefix, std::string_view stored) {
    renamed_.emplace_back(prefix, stored);
  }

  bool Has(std::string_view source) const;
  /// The same of the checkpoint's own name, whatever Rename says.
  bool HasStored(std::string_view stored) const {
    return source_.Find(std::string(stored)) != nullptr;
  }
  /// `own` where it is stored with other numbers than `shared` or without it, else `shared`: the table
  /// that a module looks tokens up in. Files of several years have copies of a shared table.
  /// Source   transformers 5, which ties what is not stored.
  std::string OwnOrShared(std::string_view own, std::string_view shared);
  /// Rows of a tensor; 0 if there is none.
  int64_t RowsOf(std::string_view source) const;
  /// Elements of each of a tensor's rows, likewise.
  int64_t RowElementsOf(std::string_view source) const;

  /// A [out_features, in_features] matrix, stored in the format the user asked for.
  TensorId Matrix(std::string_view source, int64_t out_features, int64_t in_features);
  /// The same, called `name`, of a part of a tensor.
  TensorId Matrix(std::string_view name, TensorPart part, int64_t out_features,
                  int64_t in_features);
  /// Rows [row_begin, row_begin + rows) of a [all_rows, width] matrix, stored as f32 whatever the
  /// user asked for: what positions and token types look up is small and takes part in every row.
  TensorId Table(std::string_view source, int64_t all_rows, int64_t width, int64_t row_begin = 0);
  /// The kernels [out_channels, channels, height, width] of a convolution, as the matrix
  /// [out_channels, channels * height * width] that patches are multiplied with.
  TensorId Kernels(std::string_view source, int64_t out_channels, const WindowShape& window);
  /// The same of a part; `source_shape` is that of the tensor it is taken from.
  TensorId Kernels(std::string_view name, TensorPart part, const std::vector<int64_t>& source_shape,
                   int64_t out_channels, int64_t patch_width);
  /// [rows, columns], stored as f32: the products of each row of a [rows, depth] matrix with
  /// part.vectors [depth, columns].
  TensorId Products(std::string_view name, TensorPart part, int64_t rows, int64_t depth,
                    int64_t columns);
  /// A tensor of any shape, stored as f32.
  TensorId Stored(std::string_view source, const std::vector<int64_t>& shape);
  /// The kernels [width, 1, kernel] of a convolution of each column by itself, as [kernel, width] of
  /// f32.
  TensorId ColumnKernels(std::string_view source, int64_t width, int64_t kernel);
  /// A vector, stored as f32.
  TensorId Vector(std::string_view source, int64_t elements);
  TensorId Vector(std::string_view name, TensorPart part, int64_t elements);
  /// A matrix of `source_shape`, as one vector.
  TensorId Flattened(std::string_view source, const std::vector<int64_t>& source_shape);
  /// The first numbers of a tensor, for what is computed from them at once. Zeros where it is
  /// missing or cannot be read, which is a fault.
  std::vector<double> Numbers(std::string_view source, int64_t count);
  /// The same of all of a matrix; none once there is a fault.
  std::vector<double> Numbers(std::string_view source, int64_t rows, int64_t width);
  /// All of a matrix, or, of rank 3, of a [1, rows, width]; zeros once there is a fault.
  std::vector<double> NumbersOfRows(std::string_view source, size_t rank, int64_t rows,
                                    int64_t width);
  /// Tensors that these read.
  const std::vector<std::string>& numbers_of() const { return numbers_of_; }
  /// A matrix that stays f32, as small tables do.
  TensorId FloatMatrix(std::string_view name, TensorPart part, int64_t rows, int64_t width);
  /// Numbers that the lowering itself computed.
  TensorId Literal(std::string_view name, std::vector<float> numbers);
  /// The same as a matrix of rows of `width`.
  TensorId LiteralMatrix(std::string_view name, std::vector<float> numbers, int64_t width);

  /// Says that rounding a matrix to 4 bits would do more than its share of harm: where an int4 format
  /// was asked for, it is stored as int8.
  void KeepFromInt4(TensorId matrix) {
    constants_[static_cast<size_t>(matrix.index)].at_least_int8 = true;
  }

  /// Says that a matrix has a row for each token.
  void MarkVocabulary(TensorId tensor) {
    if (tensor.index >= 0) constants_[static_cast<size_t>(tensor.index)].is_vocabulary = true;
  }

  /// Keeps `status` as the fault, unless there is one or `status` is ok.
  void Fail(Status status);
  const Status& status() const { return status_; }
  const std::string& source_name() const { return source_name_; }

  /// What TensorIds index.
  const std::vector<Constant>& constants() const { return constants_; }
  const Constant& constant(TensorId tensor) const {
    return constants_[static_cast<size_t>(tensor.index)];
  }

 private:
  TensorId AddPart(std::string_view name, TensorPart part, std::vector<int64_t> shape,
                   bool is_weight_matrix);
  TensorId AddConstant(Constant constant);
  void CheckShape(std::string_view source, const std::vector<int64_t>& expected);
  bool SameNumbers(const TensorInfo& a, const TensorInfo& b);
  std::string NameInSource(std::string_view source) const;

  const TensorSource& source_;
  const std::string source_name_;
  Status status_;
  std::vector<Constant> constants_;
  std::map<std::string, int32_t, std::less<>> index_;
  std::vector<std::string> numbers_of_;
  std::vector<std::pair<std::string, std::string>> renamed_;
};

}  // namespace graft::converter
