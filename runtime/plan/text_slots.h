// SPDX-License-Identifier: Apache-2.0
// TextSlots: where the keys and values of several texts lie that are computed in one call, for
// attention that keeps no cache.
//
// Texts lie in a call's rows one after the other. Each text's keys begin at a block of their own,
// so that a text is computed in the same order, and bit for bit the same, whatever lies beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/kernels/kv_store.h"

namespace graft::runtime {

struct TextRows {
  size_t begin = 0;  ///< rows [begin, end) of the call
  size_t end = 0;
  size_t slot = 0;  ///< of the first row; a multiple of kKeyBlock
};

/// Slots of each of several blocks of `rows` rows, so that each begins as a text does.
inline size_t BlockSlots(size_t rows) { return (rows + kKeyBlock - 1) / kKeyBlock * kKeyBlock; }

class TextSlots {
 public:
  /// Slots that are enough for any division of `rows` rows into `texts` texts.
  static size_t Capacity(size_t rows, size_t texts);

  /// ends: for each text the row behind its last, rising. Reuses memory.
  void Assign(std::span<const int32_t> ends);

  std::span<const TextRows> texts() const { return texts_; }
  /// The slot of a row below the last text's end.
  size_t SlotOf(size_t row) const;

 private:
  std::vector<TextRows> texts_;
};

}  // namespace graft::runtime
