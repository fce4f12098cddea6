// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/quantized/scale_layout.h"

namespace graft::converter {
namespace {

int64_t Parts(int64_t whole, int64_t part) { return (whole - 1) / part + 1; }

}  // namespace

int64_t GroupSizeOf(const std::vector<int64_t>& said, int64_t columns, int64_t groups) {
  if (groups == 1) return columns;
  for (const int64_t size : said) {
    if (size > 0 && Parts(columns, size) == groups) return size;
  }
  return groups > 0 && columns % groups == 0 ? columns / groups : 0;
}

Result<ScaleLayout> LayoutOf(const FormatContext& context, const StoredTensor& scales, int64_t rows,
                             int64_t columns) {
  ScaleLayout layout;
  const int64_t count = scales.elements();
  if (count == 1) {
    layout.rows_each = rows;
    layout.columns_each = columns;
    layout.text = "by tensor";
    return layout;
  }
  const std::vector<int64_t>& shape = scales.shape();
  if (count == rows && (shape.size() == 1 || shape.back() == 1)) {
    layout.columns_each = columns;
    layout.scale_rows = rows;
    layout.text = "by channel";
    return layout;
  }
  const auto fail = [&] {
    return scales.Fail("has the shape " + scales.entry->info.ShapeText() +
                       ", which fits no groups or blocks of " + std::to_string(rows) + "x" +
                       std::to_string(columns) + " numbers");
  };
  if (shape.size() < 2 || count == 0) return fail();
  layout.scale_columns = shape.back();
  layout.scale_rows = count / layout.scale_columns;
  std::vector<int64_t> groups = context.config.some_groups;
  groups.push_back(context.config.group_size);
  if (layout.scale_rows == rows) {
    layout.columns_each = GroupSizeOf(groups, columns, layout.scale_columns);
    if (layout.columns_each == 0) return fail();
    layout.text = "in groups of " + std::to_string(layout.columns_each);
    return layout;
  }
  constexpr int64_t kUsualBlock = 128;
  const std::vector<int64_t>& said = context.config.block;
  layout.rows_each = said.empty() ? kUsualBlock : said[0];
  layout.columns_each = said.empty() ? kUsualBlock : said[1];
  // Blocks of one expert's matrix must not reach into the next one's.
  const int64_t matrices = layout.scale_rows / shape[shape.size() - 2];
  if ((matrices > 1 && rows / matrices % layout.rows_each != 0) ||
      Parts(rows, layout.rows_each) != layout.scale_rows ||
      Parts(columns, layout.columns_each) != layout.scale_columns) {
    return fail();
  }
  layout.text = "in blocks of " + std::to_string(layout.rows_each) + "x" +
                std::to_string(layout.columns_each);
  return layout;
}

Result<GroupScales> ScalesOf(const StoredTensor& scales, const ScaleLayout& layout) {
  GroupScales result;
  result.rows_each = layout.rows_each;
  result.columns_each = layout.columns_each;
  switch (scales.dtype()) {
    case DType::kUInt8:
      result.scale = PackedRows(scales, layout.scale_rows, layout.scale_columns,
                                layout.scale_columns, {1, 1}, PowerOfTwoCodes());
      return result;
    case DType::kFloat32:
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kFloat8E4M3:
    case DType::kFloat8E8M0:
      result.scale = PlainMatrix(scales, layout.scale_rows, layout.scale_columns);
      return result;
    default:
      return scales.Fail("is of type " + std::string(DTypeName(scales.dtype())) +
                         ", which no scales have");
  }
}

}  // namespace graft::converter
