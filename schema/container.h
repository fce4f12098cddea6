// SPDX-License-Identifier: Apache-2.0
// The fixed first 64 bytes of a .graft file, and the checksums it is sealed with.
//
//   bytes   field
//   0-7     magic: 89 47 52 41 46 54 0D 0A ("\x89GRAFT\r\n")
//   8-11    format_version, u32
//   12-15   preamble_bytes, u32 (64)
//   16-23   file_bytes, u64: the whole file, tail included
//   24-31   header_offset, u64 (64)
//   32-39   header_bytes, u64: the FlatBuffer of model.fbs
//   40-47   header_checksum, u64: XXH3-64 of the header
//   48-55   reserved, u64 (0)
//   56-63   preamble_checksum, u64: XXH3-64 of bytes 0-55
//
// All numbers are little-endian. FORMAT.md describes the rest of the file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "schema/result.h"

namespace graft::schema {

inline constexpr std::array<uint8_t, 8> kMagic = {0x89, 'G', 'R', 'A', 'F', 'T', '\r', '\n'};
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kPreambleBytes = 64;
/// Segments start on multiples of this: the largest page size of the devices that map them.
inline constexpr uint64_t kSegmentAlignment = 16384;
/// Tensors and scales start on multiples of this within the file.
inline constexpr uint64_t kTensorAlignment = 64;
/// Readable bytes after the last segment: XNNPACK reads past the end of a tensor.
inline constexpr uint64_t kTailBytes = 128;
/// A header larger than this is refused before its checksum is computed.
inline constexpr uint64_t kMaxHeaderBytes = uint64_t{256} << 20;

struct Preamble {
  uint32_t format_version = kFormatVersion;
  uint64_t file_bytes = 0;
  uint64_t header_offset = kPreambleBytes;
  uint64_t header_bytes = 0;
  uint64_t header_checksum = 0;
};

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

/// XXH3-64 with seed 0.
uint64_t Checksum64(std::span<const uint8_t> bytes);
/// XXH3-128 with seed 0 of `first` followed by `second`.
Hash128 ContentHash(std::span<const uint8_t> first, std::span<const uint8_t> second);

/// Writes the 64 bytes of `preamble`, checksum included.
std::array<uint8_t, kPreambleBytes> EncodePreamble(const Preamble& preamble);

/// Reads and checks a preamble against the number of bytes there are.
/// Errors   kCorrupt: too short, wrong magic or checksum, a size that does not fit in
///          `available_bytes`.
///          kUnsupportedVersion: another format_version. Allocates nothing unless it fails.
Result<Preamble> DecodePreamble(std::span<const uint8_t> bytes, uint64_t available_bytes);

}  // namespace graft::schema
