// SPDX-License-Identifier: Apache-2.0
// Packs all slices of a layout, on several threads, into memory or wherever a target puts them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/data_source.h"
#include "runtime/pack_layout.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// Where packed slices go. Called from all workers, each with its own number.
class SliceTarget {
 public:
  /// Room for the slice's bytes.
  virtual uint8_t* Room(const PackedSlice& slice, unsigned worker) = 0;
  /// The room that was given is filled.
  virtual Status Done(size_t slice, const uint8_t* packed) = 0;

 protected:
  ~SliceTarget() = default;
};

enum class ContentCheck : uint8_t { kNone, kHashes };

/// Packs on `threads` threads and lets go of each weight's pages in the source once it is packed.
/// kHashes: also fails with kMismatch unless every weight and bias has the content hash that the
/// file's header gives. Errors   kUnsupported, kOutOfMemory, kCorrupt, each naming the tensor;
/// those of the target.
Status PackSlices(const schema::VerifiedModel& model, const DataSource& source,
                  const PackLayout& layout, unsigned threads, ContentCheck check,
                  SliceTarget& target);

}  // namespace graft::runtime
