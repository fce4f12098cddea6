// SPDX-License-Identifier: Apache-2.0
#include "converter/quantize/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

using Kind = GridFit::Kind;

// To the nearest whole number, for magnitudes below 2^51: faster than std::nearbyint, and the same.
double Whole(double number) {
  constexpr double kIntegerAtLowBits = 6755399441055744.0;  // 1.5 * 2^52
  return number + kIntegerAtLowBits - kIntegerAtLowBits;
}

double Largest(std::span<const double> numbers) {
  double largest = 0.0;
  for (const double number : numbers) largest = std::max(largest, std::fabs(number));
  return largest;
}

// The number and the largest one are each up to 2^-8 off, relative.
constexpr double kCoarse = 0x1p-7;
// Of a quotient of two float32 products.
constexpr double kFine = 0x1p-21;
constexpr int kMostSteps = 127;
// Fewer numbers than these lie on many grids.
constexpr int64_t kFewNumbers = 8;
constexpr size_t kShortGroup = 32;

// Whether `largest` can be `steps` times the scale. Fills in the scale that numbers whose codes are
// powers of two have kept unrounded, if there is one.
Kind FitsSteps(std::span<const double> numbers, double largest, int steps, double tolerance,
               double* scale) {
  const double inverse = steps / largest;
  *scale = largest / steps;
  double kept = 0.0;
  bool lowest = false;
  bool highest = false;
  for (const double number : numbers) {
    const double at = std::fabs(number) * inverse;
    const double code = Whole(at);
    if (std::fabs(at - code) > code * tolerance || (code == 0.0 && number != 0.0))
      return Kind::kNone;
    if (code == 8.0) (number < 0.0 ? lowest : highest) = true;
    if (code == 1.0 || code == 2.0 || code == 4.0 || code == 8.0) kept = std::fabs(number) / code;
  }
  if (kept > 0.0) *scale = kept;
  if (!highest) return Kind::kOnGrid;
  return lowest ? Kind::kNone : Kind::kNegative;
}

// The least whole number by which `ratio` becomes one, up to 127; 0: none.
int Denominator(double ratio) {
  // Convergents of the continued fraction: their denominators grow, and one of them is it.
  double rest = ratio;
  int before = 0;
  int denominator = 1;
  while (true) {
    const double at = ratio * denominator;
    if (std::fabs(at - Whole(at)) <= denominator * kFine) return denominator;
    rest -= std::floor(rest);
    if (rest < kFine) return 0;
    rest = 1.0 / rest;
    const double next = std::floor(rest) * denominator + before;
    if (next > kMostSteps) return 0;
    before = denominator;
    denominator = static_cast<int>(next);
  }
}

int GreatestCommonDivisor(int a, int b) { return b == 0 ? a : GreatestCommonDivisor(b, a % b); }

// As the format stores it.
float StoredScale(const StoredFormat& format, double scale) {
  const auto single = static_cast<float>(scale);
  return format.kind == StorageKind::kInt4Block ? Bf16BitsToFloat(DoubleToBf16Bits(scale)) : single;
}

}  // namespace

void GridCounts::Add(const GridCounts& other) {
  groups += other.groups;
  on_grid += other.on_grid;
  exact += other.exact;
  negative += other.negative;
}

GridFit FitInt4Grid(std::span<const double> numbers) {
  // Part of a grid is one.
  constexpr size_t kFirst = 32;
  if (numbers.size() > 2 * kFirst && FitInt4Grid(numbers.first(kFirst)).kind == Kind::kNone) {
    return {};
  }
  const double largest = Largest(numbers);
  if (largest == 0.0) return {Kind::kZeros};
  const auto zeros = std::count(numbers.begin(), numbers.end(), 0.0);
  const bool few = static_cast<int64_t>(numbers.size()) - zeros < kFewNumbers;
  bool negative = false;
  for (int steps = 1; steps <= 8; ++steps) {
    GridFit fit;
    fit.kind = FitsSteps(numbers, largest, steps, few ? kFine : kCoarse, &fit.scale);
    if (fit.kind == Kind::kOnGrid) return fit;
    negative = negative || fit.kind == Kind::kNegative;
  }
  return {negative ? Kind::kNegative : Kind::kNone};
}

GridFit FitInt8Grid(std::span<const double> row) {
  // Part of a grid is one.
  constexpr size_t kFirst = 16;
  if (row.size() > 2 * kFirst && FitInt8Grid(row.first(kFirst)).kind == Kind::kNone) return {};
  const double largest = Largest(row);
  if (largest == 0.0) return {Kind::kZeros};
  int steps = 1;
  for (const double number : row) {
    const double ratio = std::fabs(number) / largest;
    const double at = ratio * steps;
    if (std::fabs(at - Whole(at)) <= steps * kFine) continue;
    const int denominator = Denominator(ratio);
    if (denominator == 0) return {};
    steps = steps / GreatestCommonDivisor(steps, denominator) * denominator;
    if (steps > kMostSteps) return {};
  }
  return {Kind::kOnGrid, largest / steps};
}

void TakeGridScales(const StoredFormat& format, std::span<const double> numbers, size_t width,
                    size_t group, std::span<float> scales, GridCounts* counts) {
  if (group < kShortGroup) return;
  const size_t groups_in_row = width / group;
  for (size_t row = 0; row * groups_in_row < scales.size(); ++row) {
    bool any = false;
    bool look = true;
    for (size_t i = row * groups_in_row; i < (row + 1) * groups_in_row; ++i) {
      if (!look) {
        ++counts->groups;
        continue;
      }
      const std::span<const double> of_group = numbers.subspan(i * group, group);
      const GridFit fit = format.is_int4() ? FitInt4Grid(of_group) : FitInt8Grid(of_group);
      if (fit.kind == Kind::kZeros) continue;
      ++counts->groups;
      look = any || fit.kind != Kind::kNone;
      any = look;
      if (fit.kind == Kind::kNegative) ++counts->negative;
      const float scale = StoredScale(format, fit.scale);
      if (fit.kind != Kind::kOnGrid || !(scale >= std::numeric_limits<float>::min())) continue;
      scales[i] = scale;
      ++counts->on_grid;
      if (static_cast<double>(scale) == fit.scale) ++counts->exact;
    }
  }
}

}  // namespace graft::converter
