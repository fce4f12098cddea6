// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/text_slots.h"

#include <algorithm>

#include "runtime/kernels/kv_store.h"

namespace graft::runtime {
namespace {

size_t WholeBlocks(size_t positions) { return (positions + kKeyBlock - 1) / kKeyBlock * kKeyBlock; }

}  // namespace

size_t TextSlots::Capacity(size_t rows, size_t texts) {
  return WholeBlocks(rows + texts * (kKeyBlock - 1));
}

void TextSlots::Assign(std::span<const int32_t> ends) {
  texts_.clear();
  size_t begin = 0;
  size_t slot = 0;
  for (const int32_t stored : ends) {
    const auto end = static_cast<size_t>(stored);
    texts_.push_back({begin, end, slot});
    slot += WholeBlocks(end - begin);
    begin = end;
  }
}

size_t TextSlots::SlotOf(size_t row) const {
  const auto after =
      std::upper_bound(texts_.begin(), texts_.end(), row,
                       [](size_t r, const TextRows& text) { return r < text.begin; });
  const TextRows& text = *(after - 1);
  return text.slot + (row - text.begin);
}

}  // namespace graft::runtime
