// SPDX-License-Identifier: Apache-2.0
// SlotPatch: what makes the packed bytes of a weight that a slot holds into those of another one, if
// both are the same base's with what packs add to it: the changes of codes, where they lie.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/model/pack_layout.h"
#include "runtime/platform/data_source.h"
#include "runtime/xnn/channel_layout.h"
#include "schema/packs/block_changes.h"
#include "schema/verify.h"

namespace graft::runtime {

/// A model's bytes, and what they are.
struct ModelBytes {
  const schema::VerifiedModel* model = nullptr;
  const DataSource* source = nullptr;
};

/// What a thread needs to patch slices; it keeps the blocks of packs that it has read last.
struct PatchRoom {
  std::array<schema::BlockChanges, 2> codes;   // of what the slot holds, and of what it shall
  std::array<schema::BlockChanges, 2> scales;  // likewise
  std::vector<uint32_t> offsets;
};

class SlotPatch {
 public:
  /// Nothing that could be patched.
  SlotPatch() = default;
  /// From what a slot of `held_entry` holds, to `wanted_entry`. Nothing, if they are laid out in
  /// different ways or not of one base, or to pack anew is less work.
  static SlotPatch Find(const ModelBytes& held, const PackedEntry& held_entry,
                        const ModelBytes& wanted, const PackedEntry& wanted_entry);

  /// Where in the base, or in the model that is none of a pack, the entry's codes are from. Not known
  /// of what cannot be patched.
  static std::optional<uint64_t> BaseOffsetOf(const ModelBytes& of, const PackedEntry& entry);

  explicit operator bool() const { return tile_.rows != 0; }

  /// Patches a slice of the wanted entry, whose first packed byte is `packed`. bias of its rows, or
  /// null; `scales` of its rows, which are read of weights with one for each row. Any thread, with a
  /// room of its own.
  /// False: it could not be done, and the slice must be packed anew.
  bool Apply(const PackedEntry& entry, const PackedSlice& slice, const float* bias,
             const uint8_t* scales, uint8_t* packed, PatchRoom* room) const;

 private:
  /// Where a matrix lies in its source and in the base, and how much is told of its changes.
  struct Place {
    const PatchedSource* source = nullptr;  // null: the base itself, which has no changes
    uint64_t data = 0, scales = 0;
    uint64_t base_data = 0, base_scales = 0;
    uint64_t stored_bytes = 0, coded_bytes = 0;
  };
  static std::optional<Place> PlaceOf(const ModelBytes& of, const PackedEntry& entry);

  CodeTile tile_;
  std::array<Place, 2> places_;  // of what the slot holds, and of what it shall
};

}  // namespace graft::runtime
