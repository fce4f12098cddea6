// SPDX-License-Identifier: Apache-2.0
// Finds where the bytes of one header come from in another: tokenizers and graphs move as wholes,
// hashes and measures change where they are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace graft::converter {

/// Bytes of a file, and those of the base that they are like.
struct PackRange {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t base_offset = 0;  ///< schema::kZeros: like nothing
};

/// Ranges that follow one another and cover `bytes`; offsets are from the starts of both.
/// Cost     linear in both; some four bytes of memory for each of the base's.
std::vector<PackRange> MatchBytes(std::span<const uint8_t> bytes, std::span<const uint8_t> base);

}  // namespace graft::converter
