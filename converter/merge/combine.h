// SPDX-License-Identifier: Apache-2.0
// How the changes that several adapters make to one tensor become one change.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::converter {

enum class CombineMethod : uint8_t {
  kSum,             ///< The weighted sum of the changes, whole.
  kMagnitudePrune,  ///< Of each change its largest numbers; then the weighted sum.
  kTies,            ///< Of each change its largest numbers; those of the elected sign; their mean.
};

/// Works on the changes W' - W themselves. PEFT's add_weighted_adapter prunes the factors A and B
/// instead, whose product is something else.
struct CombineRule {
  CombineMethod method = CombineMethod::kSum;
  double density = 1;  ///< Part of each change that is kept, in (0, 1]. 1 for kSum.
};

/// "sum", "magnitude_prune" or "ties".
/// Errors   kInvalidArgument.
Result<CombineMethod> ParseCombineMethod(std::string_view word);
const char* CombineMethodName(CombineMethod method);

/// What one adapter does to a block of numbers.
struct WeightedChange {
  std::span<const double> values;
  double weight = 1;
  double threshold = 0;  ///< Smaller magnitudes are pruned; see MagnitudeThreshold.
};

/// Adds the combined change to `rows`; all spans have its size. Element by element:
///   kSum, kMagnitudePrune   sum of weight * d, over the d that were kept;
///   kTies                   the same over the kept d that have the sign of the sum of all kept d
///                           (positive if that is zero), divided by their number. Trim, elect,
///                           merge: Yadav et al. 2023, "TIES-Merging", section 4; weights come in
///                           after the election, as in PEFT's merge_utils.
void AddCombined(CombineMethod method, std::span<const WeightedChange> changes,
                 std::span<double> rows);

/// Calls its argument with all numbers of a tensor, block by block.
using VisitNumbers = std::function<Status(const std::function<void(std::span<const double>)>&)>;

/// The largest t for which at least floor(density * elements) of the numbers have a magnitude of t
/// or more: all numbers of equal magnitude are kept, or none. 0 if all are. Exact, in four visits
/// and 512 KiB, whatever the size of the tensor.
/// Errors   kInvalidArgument: density keeps no number at all; those of `visit`.
Result<double> MagnitudeThreshold(int64_t elements, double density, const VisitNumbers& visit);

}  // namespace graft::converter
