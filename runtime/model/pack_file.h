// SPDX-License-Identifier: Apache-2.0
// The file that packed weights are kept in: a head that says exactly what they are and of what they
// were made, then the packed bytes as they lie in memory.
//
//   bytes          field
//   0-7            magic: 89 47 50 41 43 4B 0D 0A ("\x89GPACK\r\n")
//   8-11           version, u32
//   12-15          slices, u32
//   16-23          key_bytes, u64
//   24-31          data_offset, u64: a multiple of 16384
//   32-39          file_bytes, u64
//   40-47          XXH3-64 of the key and the checksums
//   48-            the key
//   then           slices x u64: XXH3-64 of each slice's packed bytes
//   data_offset-   the packed bytes
//
// Nothing in a file is followed: a reader knows from its own layout what every byte of the head
// must be, except the checksums, and takes the file only if it is so.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/pack_layout.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

class PackFile {
 public:
  /// For the weights of `model`, packed as `layout` says.
  /// Errors   those of HashLayout.
  static Result<PackFile> Describe(const schema::VerifiedModel& model, const PackLayout& layout);

  /// The name of the file: a hash of the key.
  const std::string& name() const { return name_; }
  uint64_t data_offset() const { return data_offset_; }
  uint64_t file_bytes() const { return file_bytes_; }
  /// All bytes before data_offset, of a file whose slices have these checksums.
  std::vector<uint8_t> Head(std::span<const uint64_t> checksums) const;
  /// The checksums that `file` has for its slices.
  /// Errors   kCorrupt: its size or its head is not what it must be.
  Result<std::vector<uint64_t>> ReadHead(std::span<const uint8_t> file) const;

 private:
  PackFile() = default;

  std::vector<uint8_t> key_;
  std::string name_;
  uint64_t slices_ = 0;
  uint64_t checksums_offset_ = 0;
  uint64_t data_offset_ = 0;
  uint64_t file_bytes_ = 0;
};

}  // namespace graft::runtime
