// SPDX-License-Identifier: Apache-2.0
// Sums and elections element by element, and selection by radix over the bits of a magnitude.
#include "converter/merge/combine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace graft::converter {

Result<CombineMethod> ParseCombineMethod(std::string_view word) {
  for (const CombineMethod method :
       {CombineMethod::kSum, CombineMethod::kMagnitudePrune, CombineMethod::kTies}) {
    if (word == CombineMethodName(method)) return method;
  }
  return Error(StatusCode::kInvalidArgument,
               "--combine is '%s'; it must be sum, magnitude_prune or ties",
               std::string(word).c_str());
}

const char* CombineMethodName(CombineMethod method) {
  if (method == CombineMethod::kTies) return "ties";
  return method == CombineMethod::kMagnitudePrune ? "magnitude_prune" : "sum";
}

namespace {

double Kept(const WeightedChange& change, size_t i) {
  const double value = change.values[i];
  return std::fabs(value) >= change.threshold ? value : 0.0;
}

void AddElected(std::span<const WeightedChange> changes, std::span<double> rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    double balance = 0;
    for (const WeightedChange& change : changes) balance += Kept(change, i);
    const bool positive = balance >= 0;
    double sum = 0;
    int agreeing = 0;
    for (const WeightedChange& change : changes) {
      const double value = Kept(change, i);
      if (value == 0 || (value > 0) != positive) continue;
      sum += change.weight * value;
      ++agreeing;
    }
    if (agreeing > 0) rows[i] += sum / agreeing;
  }
}

}  // namespace

void AddCombined(CombineMethod method, std::span<const WeightedChange> changes,
                 std::span<double> rows) {
  if (method == CombineMethod::kTies) return AddElected(changes, rows);
  for (const WeightedChange& change : changes) {
    for (size_t i = 0; i < rows.size(); ++i) {
      // A change of nothing must leave even the sign of a zero.
      const double delta = change.weight * Kept(change, i);
      if (delta != 0) rows[i] += delta;
    }
  }
}

Result<double> MagnitudeThreshold(int64_t elements, double density, const VisitNumbers& visit) {
  auto wanted = static_cast<int64_t>(density * static_cast<double>(elements));
  if (wanted >= elements) return 0.0;
  if (wanted < 1) {
    return Error(StatusCode::kInvalidArgument, "a density of %g keeps none of %lld numbers",
                 density, static_cast<long long>(elements));
  }
  // Magnitudes order as their bits do. Each visit settles 16 more of the bits of the number that
  // is `wanted`-th from the top among those that share the bits settled before.
  constexpr int kDigitBits = 16;
  std::vector<int64_t> counts(size_t{1} << kDigitBits);
  uint64_t settled = 0;
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    std::fill(counts.begin(), counts.end(), 0);
    const uint64_t mask = shift + kDigitBits == 64 ? 0 : ~uint64_t{0} << (shift + kDigitBits);
    GRAFT_RETURN_IF_ERROR(visit([&](std::span<const double> values) {
      for (const double value : values) {
        const auto bits = std::bit_cast<uint64_t>(std::fabs(value));
        if ((bits & mask) == settled) ++counts[(bits >> shift) & (counts.size() - 1)];
      }
    }));
    size_t digit = counts.size() - 1;
    while (digit > 0 && counts[digit] < wanted) wanted -= counts[digit--];
    settled |= static_cast<uint64_t>(digit) << shift;
  }
  return std::bit_cast<double>(settled);
}

}  // namespace graft::converter
