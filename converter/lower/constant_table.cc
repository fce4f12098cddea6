// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/constant_table.h"

#include <algorithm>

namespace graft::converter {

std::string ConstantTable::NameInSource(std::string_view source) const {
  for (const auto& [prefix, stored] : renamed_) {
    if (source.starts_with(prefix)) return stored + std::string(source.substr(prefix.size()));
  }
  return std::string(source);
}

bool ConstantTable::Has(std::string_view source) const {
  return source_.Find(NameInSource(source)) != nullptr;
}

bool ConstantTable::SameNumbers(const TensorInfo& a, const TensorInfo& b) {
  if (a.shape != b.shape) return false;
  constexpr int64_t kNumbersAtOnce = int64_t{1} << 18;
  const int64_t step =
      std::max<int64_t>(1, kNumbersAtOnce / std::max<int64_t>(1, a.row_elements()));
  std::vector<double> numbers, others;
  for (int64_t row = 0; row < a.rows() && status_.ok(); row += step) {
    const int64_t end = std::min(a.rows(), row + step);
    numbers.resize(static_cast<size_t>((end - row) * a.row_elements()));
    others.resize(numbers.size());
    Fail(source_.ReadRows(a.name, row, end, numbers));
    Fail(source_.ReadRows(b.name, row, end, others));
    if (numbers != others) return false;
  }
  return true;
}

std::string ConstantTable::OwnOrShared(std::string_view own, std::string_view shared) {
  const TensorInfo* of_own = source_.Find(NameInSource(own));
  const TensorInfo* of_shared = source_.Find(NameInSource(shared));
  const bool is_own =
      of_own != nullptr && (of_shared == nullptr || !SameNumbers(*of_own, *of_shared));
  return std::string(is_own ? own : shared);
}

int64_t ConstantTable::RowsOf(std::string_view source) const {
  const TensorInfo* info = source_.Find(NameInSource(source));
  return info == nullptr || info->shape.empty() ? 0 : info->shape[0];
}

int64_t ConstantTable::RowElementsOf(std::string_view source) const {
  const TensorInfo* info = source_.Find(NameInSource(source));
  return info == nullptr || info->shape.empty() ? 0 : info->row_elements();
}

void ConstantTable::CheckShape(std::string_view source, const std::vector<int64_t>& expected) {
  const std::string name = NameInSource(source);
  const TensorInfo* info = source_.Find(name);
  if (info == nullptr) {
    Fail(Error(StatusCode::kMismatch, "%s: has no tensor '%s', which the model needs as %s",
               source_name_.c_str(), name.c_str(), ShapeText(expected).c_str()));
    return;
  }
  if (info->shape != expected) {
    Fail(Error(StatusCode::kMismatch, "%s: tensor '%s' has shape %s, the model needs %s",
               source_name_.c_str(), info->name.c_str(), ShapeText(info->shape).c_str(),
               ShapeText(expected).c_str()));
  }
}

TensorId ConstantTable::AddConstant(Constant constant) {
  const auto found = index_.find(constant.name);
  if (found != index_.end()) return TensorId{found->second};
  constant.part.source = NameInSource(constant.part.source);
  for (std::string& source : constant.part.sources) source = NameInSource(source);
  const auto index = static_cast<int32_t>(constants_.size());
  index_.emplace(constant.name, index);
  constants_.push_back(std::move(constant));
  return TensorId{index};
}

TensorId ConstantTable::Matrix(std::string_view source, int64_t out_features, int64_t in_features) {
  return Matrix(source, TensorPart{.source = std::string(source), .source_rows = out_features},
                out_features, in_features);
}

TensorId ConstantTable::Matrix(std::string_view name, TensorPart part, int64_t out_features,
                               int64_t in_features) {
  return AddPart(name, std::move(part), {out_features, in_features}, /*is_weight_matrix=*/true);
}

TensorId ConstantTable::Table(std::string_view source, int64_t all_rows, int64_t width,
                              int64_t row_begin) {
  TensorPart part{.source = std::string(source), .source_rows = all_rows};
  part.rows.begin = row_begin;
  return FloatMatrix(source, std::move(part), all_rows - row_begin, width);
}

TensorId ConstantTable::Kernels(std::string_view source, int64_t out_channels,
                                const WindowShape& window) {
  return Kernels(source, TensorPart{.source = std::string(source), .source_rows = out_channels},
                 {out_channels, window.channels, window.kernel_height, window.kernel_width},
                 out_channels, window.elements());
}

TensorId ConstantTable::Kernels(std::string_view name, TensorPart part,
                                const std::vector<int64_t>& source_shape, int64_t out_channels,
                                int64_t patch_width) {
  CheckShape(part.source, source_shape);
  Constant constant;
  constant.name = name;
  constant.shape = {out_channels, patch_width};
  constant.part = std::move(part);
  constant.is_weight_matrix = true;
  return AddConstant(std::move(constant));
}

TensorId ConstantTable::Products(std::string_view name, TensorPart part, int64_t rows,
                                 int64_t depth, int64_t columns) {
  CheckShape(part.source, {rows, depth});
  Constant constant;
  constant.name = name;
  constant.shape = {rows, columns};
  constant.part = std::move(part);
  return AddConstant(std::move(constant));
}

TensorId ConstantTable::Stored(std::string_view source, const std::vector<int64_t>& shape) {
  CheckShape(source, shape);
  Constant constant;
  constant.name = constant.part.source = source;
  constant.part.source_rows = shape[0];
  constant.shape = shape;
  return AddConstant(std::move(constant));
}

TensorId ConstantTable::ColumnKernels(std::string_view source, int64_t width, int64_t kernel) {
  CheckShape(source, {width, 1, kernel});
  Constant constant;
  constant.name = constant.part.source = source;
  constant.part.source_rows = kernel;
  constant.part.transposed = true;
  constant.shape = {kernel, width};
  return AddConstant(std::move(constant));
}

TensorId ConstantTable::Vector(std::string_view source, int64_t elements) {
  return Vector(source, TensorPart{.source = std::string(source), .source_rows = elements},
                elements);
}

TensorId ConstantTable::Vector(std::string_view name, TensorPart part, int64_t elements) {
  return AddPart(name, std::move(part), {elements}, /*is_weight_matrix=*/false);
}

TensorId ConstantTable::FloatMatrix(std::string_view name, TensorPart part, int64_t rows,
                                    int64_t width) {
  return AddPart(name, std::move(part), {rows, width}, /*is_weight_matrix=*/false);
}

TensorId ConstantTable::AddPart(std::string_view name, TensorPart part, std::vector<int64_t> shape,
                                bool is_weight_matrix) {
  std::vector<int64_t> source_shape = shape;
  source_shape[0] = part.source_rows;
  if (!part.columns.empty()) source_shape[1] = part.source_columns;
  if (part.transposed) std::reverse(source_shape.begin(), source_shape.end());
  if (part.stack > 0) source_shape.insert(source_shape.begin(), part.stack);
  CheckShape(part.source, source_shape);
  for (const std::string& source : part.sources) CheckShape(source, source_shape);
  Constant constant;
  constant.name = name;
  constant.shape = std::move(shape);
  constant.part = std::move(part);
  constant.is_weight_matrix = is_weight_matrix;
  return AddConstant(std::move(constant));
}

TensorId ConstantTable::Flattened(std::string_view source,
                                  const std::vector<int64_t>& source_shape) {
  CheckShape(source, source_shape);
  Constant constant;
  constant.name = constant.part.source = source;
  constant.part.source_rows = source_shape[0];
  constant.shape = source_shape;
  constant.flattened = true;
  return AddConstant(std::move(constant));
}

std::vector<double> ConstantTable::Numbers(std::string_view source, int64_t count) {
  std::vector<double> numbers(static_cast<size_t>(count));
  const std::string name = NameInSource(source);
  const TensorInfo* info = source_.Find(name);
  if (info == nullptr || info->rows() != count || info->row_elements() != 1) {
    CheckShape(source, {count});
    return numbers;
  }
  numbers_of_.push_back(name);
  Fail(source_.ReadRows(name, 0, count, numbers));
  return numbers;
}

std::vector<double> ConstantTable::Numbers(std::string_view source, int64_t rows, int64_t width) {
  CheckShape(source, {rows, width});
  if (!status().ok()) return {};
  std::vector<double> numbers(static_cast<size_t>(rows * width));
  const std::string name = NameInSource(source);
  numbers_of_.push_back(name);
  Fail(source_.ReadRows(name, 0, rows, numbers));
  return numbers;
}

std::vector<double> ConstantTable::NumbersOfRows(std::string_view source, size_t rank, int64_t rows,
                                                 int64_t width) {
  std::vector<double> numbers(static_cast<size_t>(rows * width));
  std::vector<int64_t> shape = {rows, width};
  if (rank == 3) shape.insert(shape.begin(), 1);
  const std::string name = NameInSource(source);
  const TensorInfo* info = source_.Find(name);
  if (info == nullptr || info->shape != shape) {
    CheckShape(source, shape);
    return numbers;
  }
  numbers_of_.push_back(name);
  Fail(source_.ReadRows(name, 0, shape[0], numbers));
  return numbers;
}

TensorId ConstantTable::Literal(std::string_view name, std::vector<float> numbers) {
  Constant constant;
  constant.name = name;
  constant.shape = {static_cast<int64_t>(numbers.size())};
  constant.literal = std::move(numbers);
  return AddConstant(std::move(constant));
}

TensorId ConstantTable::LiteralMatrix(std::string_view name, std::vector<float> numbers,
                                      int64_t width) {
  Constant constant;
  constant.name = name;
  constant.shape = {static_cast<int64_t>(numbers.size()) / width, width};
  constant.literal = std::move(numbers);
  return AddConstant(std::move(constant));
}

void ConstantTable::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

}  // namespace graft::converter
