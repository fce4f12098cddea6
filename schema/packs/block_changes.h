// SPDX-License-Identifier: Apache-2.0
// What a block of a pack changes, one by one, for those who do not want to make its bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/packs/entropy_decoder.h"
#include "schema/packs/pack.h"
#include "schema/packs/sparse_bytes.h"
#include "schema/status.h"

namespace graft::schema {

/// It keeps the block that was read last, and stays allocated from block to block.
class BlockChanges {
 public:
  static constexpr size_t kMostPlanes = 2;

  /// Reads block `index` of `pack`, unless it has it. Nothing of it is written anywhere.
  /// Requires at most kMostPlanes planes.
  /// Errors   kCorrupt, as Pack::MakeBlock.
  /// Cost     linear in the coded bytes, and in those of the block if they are not sparse.
  Status Read(const Pack& pack, size_t index);
  /// Whether it has what Read gives.
  bool Has(const Pack& pack, size_t index) const { return pack_ == &pack && block_ == index; }

  /// The bytes of each plane that are not zero, their places counted in units of the block.
  std::span<const std::span<const SparseByte>> planes() const {
    return std::span(planes_).first(plane_count_);
  }

 private:
  Status ReadPlane(std::span<const uint8_t> coded, size_t units, size_t plane);

  struct Room {
    SparseDecoder sparse;
    std::vector<SparseByte> found;  // of a plane that is not sparse
  };

  const Pack* pack_ = nullptr;
  size_t block_ = 0;
  size_t plane_count_ = 0;
  std::array<std::span<const SparseByte>, kMostPlanes> planes_;
  std::array<Room, kMostPlanes> rooms_;
  EntropyDecoder dense_;
  std::vector<uint8_t> bytes_;
};

}  // namespace graft::schema
