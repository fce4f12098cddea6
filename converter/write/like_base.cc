// SPDX-License-Identifier: Apache-2.0
#include "converter/write/like_base.h"

#include <algorithm>
#include <array>
#include <utility>

#include "schema/generated/model_generated.h"

namespace graft::converter {

namespace fb = schema::fb;

LikeBase::LikeBase(const schema::VerifiedModel& base) {
  std::vector<std::pair<StoredFormat, int64_t>> totals;
  for (const fb::Tensor* tensor : *base.model().tensors()) {
    if (tensor->shape()->size() != 2 || tensor->format() == fb::TensorFormat::Int32) continue;
    Matrix matrix;
    matrix.format = {static_cast<StorageKind>(tensor->format()), tensor->block_size()};
    matrix.rows = tensor->shape()->Get(0);
    matrix.width = tensor->shape()->Get(1);
    matrix.bytes = base.tensor_bytes(*tensor);
    matrices_.emplace(tensor->name()->string_view(), matrix);
    auto total = std::find_if(totals.begin(), totals.end(),
                              [&](const auto& known) { return known.first == matrix.format; });
    if (total == totals.end()) total = totals.insert(total, {matrix.format, 0});
    total->second += matrix.rows * matrix.width;
  }
  const auto most =
      std::max_element(totals.begin(), totals.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != totals.end()) usual_format_ = most->first;
}

const LikeBase::Matrix* LikeBase::Find(const Constant& constant) const {
  const auto found = matrices_.find(constant.name);
  if (found == matrices_.end() || constant.shape.size() != 2 ||
      constant.shape[1] != found->second.width) {
    return nullptr;
  }
  return &found->second;
}

std::optional<StoredFormat> LikeBase::FormatOf(const Constant& constant) const {
  const Matrix* matrix = Find(constant);
  if (matrix == nullptr) return std::nullopt;
  return matrix->format;
}

std::span<const uint8_t> LikeBase::ScalesOf(const Constant& constant, const StoredFormat& format,
                                            int64_t row_begin, int64_t row_end) const {
  const Matrix* matrix = Find(constant);
  if (matrix == nullptr || !(matrix->format == format) || row_begin >= matrix->rows) return {};
  const auto row_bytes = static_cast<size_t>(format.RowScaleBytes(matrix->width));
  const auto begin = static_cast<size_t>(row_begin);
  const auto end = static_cast<size_t>(std::min(row_end, matrix->rows));
  return matrix->bytes.scales.subspan(begin * row_bytes, (end - begin) * row_bytes);
}

schema::TensorBytes LikeBase::All(const Constant& constant, const StoredFormat& format) const {
  const Matrix* matrix = Find(constant);
  const bool is_alike =
      matrix != nullptr && matrix->format == format && matrix->rows == constant.rows();
  return is_alike ? matrix->bytes : schema::TensorBytes{};
}

}  // namespace graft::converter
