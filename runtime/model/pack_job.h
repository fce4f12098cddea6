// SPDX-License-Identifier: Apache-2.0
// Packs all slices of a layout into memory, on several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_slot.h"
#include "runtime/model/slot_patch.h"
#include "runtime/platform/data_source.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

enum class ContentCheck : uint8_t { kNone, kHashes };

/// Packs each entry into its slot on `threads` threads, and lets go of each weight's pages in
/// the source once it is packed. A slot that has a patch (`patches` are as many as slots, or none) is
/// patched, as far as that can be done. kHashes: also fails with kMismatch unless every weight and bias
/// has the content hash that the file's header gives.
/// Errors   kUnsupported, kOutOfMemory, kCorrupt, each naming the tensor.
Status PackSlices(const schema::VerifiedModel& model, const DataSource& source,
                  const PackLayout& layout, unsigned threads, ContentCheck check,
                  std::span<const std::shared_ptr<PackedSlot>> slots,
                  std::span<const SlotPatch> patches = {});

}  // namespace graft::runtime
