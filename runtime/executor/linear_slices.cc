// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/linear_slices.h"

#include <algorithm>

namespace graft::runtime {
namespace {

// Packed bytes of a slice: enough to be worth a ticket, few enough to stay in a near cache while
// all rows pass over it. Decoding reads long streams better than short ones: 1 MiB gave it 5 to 10
// % over 256 KiB and cost prefill nothing that could be measured.
constexpr uint64_t kMinSliceBytes = 24 << 10;
constexpr uint64_t kMaxSliceBytes = 1 << 20;
// Two let a thread that the system puts aside be helped out; each more is another start of a stream
// from memory, which decoding feels. A thread alone is not helped.
constexpr size_t SlicesPerWorker(unsigned workers) { return workers == 1 ? 1 : 2; }

}  // namespace

LinearSlices SlicesOf(const LinearWeights& weights, uint64_t group_bytes, unsigned workers) {
  LinearSlices slices{weights.out_features, 1};
  const size_t tile = weights.tile_rows;
  if (tile == 0) return slices;
  const uint64_t slice_bytes = std::clamp(group_bytes / (workers * SlicesPerWorker(workers)),
                                          kMinSliceBytes, kMaxSliceBytes);
  // As even as tiles allow; the last slice takes the rest, which may be more or less but is never
  // below a tile. A quarter over one slice is worth two.
  const uint64_t rounding =
      weights.packed_bytes < 2 * slice_bytes ? slice_bytes * 3 / 4 : slice_bytes / 2;
  const size_t wanted = std::max<uint64_t>(1, (weights.packed_bytes + rounding) / slice_bytes);
  const size_t tiles = weights.out_features / tile;
  const size_t most_tiles = std::max<size_t>(1, (tiles + wanted - 1) / wanted);
  // The size that leaves the busiest worker the least, and of those the largest.
  const auto busiest = [&](size_t slice) {
    const size_t count = (tiles + slice - 1) / slice;
    return (count + workers - 1) / workers * slice;
  };
  size_t slice_tiles = most_tiles;
  for (size_t fewer = most_tiles - 1; wanted > 1 && fewer >= std::max<size_t>(1, most_tiles / 2);
       --fewer) {
    if (busiest(fewer) < busiest(slice_tiles)) slice_tiles = fewer;
  }
  slices.rows = slice_tiles * tile;
  slices.count = std::max<size_t>(1, (tiles + slice_tiles - 1) / slice_tiles);
  slices.count = std::min<size_t>(slices.count, 0xFFFF);
  return slices;
}

}  // namespace graft::runtime
