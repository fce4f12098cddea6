// SPDX-License-Identifier: Apache-2.0
// SHA-256, with the CPU's own instructions for it where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace graft::schema {

using Sha256Digest = std::array<uint8_t, 32>;

/// The digest of the bytes given so far.
/// Source   FIPS 180-4.
class Sha256 {
 public:
  Sha256& Add(std::span<const uint8_t> bytes);
  /// Of all that was added; nothing may be added afterwards.
  Sha256Digest Finish();

 private:
  static constexpr size_t kBlockBytes = 64;

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, kBlockBytes> left_;  // of the last block, total_ mod 64 bytes
  uint64_t total_ = 0;
};

inline Sha256Digest Sha256Of(std::span<const uint8_t> bytes) {
  return Sha256().Add(bytes).Finish();
}

/// Whether this CPU has instructions for it.
bool HasSha256Instructions();

/// Takes the fast way or the plain one, for tests of both.
void AddSha256Blocks(const uint8_t* blocks, size_t count, bool fast,
                     std::array<uint32_t, 8>* state);

}  // namespace graft::schema
