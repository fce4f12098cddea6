// SPDX-License-Identifier: Apache-2.0
#include "converter/formats/gguf/gguf_layout.h"

#include <cstddef>
#include <utility>

namespace graft::converter {
namespace {

constexpr size_t kMaxShownAxes = 4;
using Order = GgufLayout::Order;
using Join = GgufLayout::Join;

bool OrderFits(const GgufLayout& layout, const std::vector<int64_t>& shape) {
  const int64_t rows = shape.empty() ? 1 : shape[0];
  // Both are small, as settings give them.
  const bool has_heads = layout.heads > 0 && layout.parts > 0;
  switch (layout.order) {
    case Order::kAsStored:
      return true;
    case Order::kHalves:
      return has_heads && rows % (2 * layout.heads) == 0;
    case Order::kByHead: {
      const int64_t moved = rows - layout.kept_rows;
      return has_heads && layout.kept_rows >= 0 && moved >= 0 &&
             moved % (layout.heads * layout.parts) == 0;
    }
    case Order::kByGroup:
      return has_heads && rows % (layout.heads * (layout.parts + 2)) == 0;
    case Order::kColumns:
      return (shape.size() == 2 || shape.size() == 3) && layout.zero_rows == 0;
    case Order::kColumnsByHead:
      return has_heads && shape.size() == 2 && layout.zero_rows == 0 &&
             shape[1] % (layout.heads * layout.parts) == 0;
  }
  return false;
}

bool JoinFits(const GgufLayout& layout, const std::vector<int64_t>& shape) {
  const bool plain = layout.zero_rows == 0 && layout.slice < 0 && layout.inserted < 0 &&
                     layout.joined_file != nullptr && layout.joined >= 0;
  switch (layout.join) {
    case Join::kNone:
      return true;
    case Join::kBehind:
      return plain && layout.order == Order::kAsStored && (shape.size() == 2 || shape.size() == 3);
    case Join::kInTurn:
      return plain && (layout.order == Order::kColumns
                           ? shape.size() == 3
                           : layout.order == Order::kAsStored && shape.size() == 2);
  }
  return false;
}

}  // namespace

bool LayoutFits(const GgufLayout& layout, const std::vector<int64_t>& shape) {
  if (!OrderFits(layout, shape) || !JoinFits(layout, shape)) return false;
  if (layout.slice >= 0) {
    const bool is_plain = layout.order == Order::kAsStored && layout.zero_rows == 0;
    if (!is_plain || shape.size() < 2 || layout.slice >= shape[0]) return false;
  }
  if (layout.flat && (layout.inserted >= 0 || layout.join != Join::kNone)) return false;
  if (layout.inserted < 0) return true;
  return layout.inserted <= static_cast<int64_t>(shape.size()) && shape.size() < kMaxShownAxes;
}

std::vector<int64_t> ShownShape(const GgufLayout& layout, std::vector<int64_t> shape) {
  const size_t axes = shape.size();
  if (layout.join == Join::kBehind) shape[axes - 2] *= 2;
  if (layout.join == Join::kInTurn) shape[1] *= 2;
  if (layout.order == Order::kColumns) std::swap(shape[axes - 2], shape[axes - 1]);
  if (layout.zero_rows > 0 && !shape.empty()) shape[0] += layout.zero_rows;
  if (layout.slice >= 0) shape.erase(shape.begin());
  if (layout.inserted >= 0) shape.insert(shape.begin() + layout.inserted, 1);
  if (layout.flat && shape.size() > 1) {
    int64_t elements = 1;
    for (const int64_t size : shape) elements *= size;  // stored, so it does not overflow
    shape = {elements};
  }
  return shape;
}

bool KeepsRows(const GgufLayout& layout) {
  return layout.order == Order::kAsStored && layout.zero_rows == 0 && layout.join == Join::kNone;
}

int64_t StoredRow(const GgufLayout& layout, int64_t rows, int64_t row) {
  switch (layout.order) {
    case Order::kHalves: {
      const int64_t per_head = rows / layout.heads;
      const int64_t within = row % per_head;
      const int64_t half = per_head / 2;
      return row - within + (within % half) * 2 + within / half;
    }
    case Order::kByHead:
    case Order::kColumnsByHead: {
      if (row < layout.kept_rows) return row;
      const int64_t moved = row - layout.kept_rows;
      const int64_t per_part = (rows - layout.kept_rows) / (layout.heads * layout.parts);
      const int64_t head = moved / (per_part * layout.parts);
      const int64_t part = moved / per_part % layout.parts;
      return layout.kept_rows + (part * layout.heads + head) * per_part + moved % per_part;
    }
    case Order::kByGroup: {
      const int64_t per_part = rows / (layout.heads * (layout.parts + 2));
      const int64_t head = row / (per_part * (layout.parts + 2));
      const int64_t part = row / per_part % (layout.parts + 2);
      const int64_t stored =
          part < layout.parts ? head * layout.parts + part : layout.heads * part + head;
      return stored * per_part + row % per_part;
    }
    case Order::kAsStored:
    case Order::kColumns:
      break;
  }
  return row;
}

}  // namespace graft::converter
