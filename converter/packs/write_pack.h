// SPDX-License-Identifier: Apache-2.0
// Writes packs, and applies them: apply(base, pack(base, result)) is result, byte for byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "schema/packs/pack.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::converter {

struct PackOptions {
  std::filesystem::path path;  ///< of what is written
  int threads = 1;
  /// Called now and then, from any thread, with the bytes done so far and in all.
  std::function<void(int64_t done, int64_t total)> progress;
};

/// What a pack is made of.
struct PackOutcome {
  uint64_t pack_bytes = 0;
  uint64_t result_bytes = 0;
  uint64_t same_bytes = 0;     ///< of the result: the base's, or zeros
  uint64_t changed_bytes = 0;  ///< ... the base's with differences
  uint64_t new_bytes = 0;      ///< ... like nothing of the base
  uint64_t codes = 0;          ///< of quantized weights that lie where some changed, or are new
  uint64_t changed_codes = 0;
  /// Zero-order, of all that the pack codes, block by block: of differences of 4-bit codes one by
  /// one, of all other differences and of new bytes byte by byte, each byte of wider numbers apart.
  double entropy_bytes = 0;
  schema::Hash128 base_identity;
  schema::Hash128 result_identity;
};

/// Writes the pack that makes `result` of `base`, and holds what it makes against `result` before
/// it gets its name. The bytes do not depend on options.threads.
/// Memory   some blocks for each thread, and the steps.
/// Errors   those of PlanPack; kIo, kNotFound; kCancelled. No file is left behind.
Result<PackOutcome> WritePack(const schema::VerifiedModel& base,
                              const schema::VerifiedModel& result, const PackOptions& options);

/// Writes what `pack` makes of `base`.
/// Requires that the pack was opened with that base.
/// Errors   kCorrupt: the result is not what the pack says, for one because the base's weights are
///          damaged; kIo, kNotFound; kCancelled. No file is left behind.
Status ApplyPack(const schema::VerifiedModel& base, const schema::Pack& pack,
                 const PackOptions& options);

}  // namespace graft::converter
