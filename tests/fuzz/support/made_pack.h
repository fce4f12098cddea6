// SPDX-License-Identifier: Apache-2.0
// Packs whose checksums are right and whose differences an input chooses, for fuzz targets of what
// stands behind them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/packs/pack.h"
#include "schema/verify.h"

namespace graft::fuzz {

/// The bytes of an input, one after another; zeros behind the last one.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}
  bool is_at_end() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  size_t Number() { return Byte() | size_t{Byte()} << 8; }
  std::span<const uint8_t> Bytes(size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const uint8_t> rest_;
};

struct MadeStep {
  schema::PackUnit unit = schema::PackUnit::kNone;
  uint64_t bytes = 0;
  uint64_t base_offset = schema::kZeros;
  bool begins_block = false;
};

/// The pack of these steps, which says that its result has the base's header. The input chooses the
/// differences of each block and how they are coded, or coded bytes that may be anything.
std::vector<uint8_t> MakePack(const schema::VerifiedModel& base, std::span<const MadeStep> steps,
                              Input* input);

}  // namespace graft::fuzz
