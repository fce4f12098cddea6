// SPDX-License-Identifier: Apache-2.0
// Sums over numbers and what is stored for them: one source, compiled once for each instruction
// set.
#include <cmath>

#include "converter/base/vector_levels.h"
#include "converter/quantize/quantization_error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "converter/quantize/error_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::converter::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Sums run in eight lanes, element i in lane i % 8, and the lanes are added in one order: the same
// additions for every width of a vector.
constexpr size_t kLanes = 8;
using Tag = hn::CappedTag<double, kLanes>;
using Vector = hn::Vec<Tag>;

double Total(const double* lanes) {
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

// Both measures in one pass: the second's sums fill the time the first's wait for one another.
template <bool kDelta>
HWY_INLINE void Measure(const double* HWY_RESTRICT numbers, const double* HWY_RESTRICT stored,
                        const double* HWY_RESTRICT base, size_t count, QuantizationError* error,
                        RetainedDelta* retained) {
  const Tag d;
  const Vector zero = hn::Zero(d);
  const size_t whole = count / kLanes * kLanes;
  double error_square[kLanes];
  double square[kLanes];
  double largest[kLanes];
  double delta[kLanes];
  double base_square[kLanes];
  size_t zeros = 0;
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    Vector errors = zero, squares = zero, most = zero, deltas = zero, base_squares = zero;
    for (size_t i = lane; i < whole; i += kLanes) {
      const Vector number = hn::LoadU(d, numbers + i);
      const Vector left = hn::LoadU(d, stored + i);
      const Vector difference = hn::Sub(left, number);
      errors = hn::Add(errors, hn::Mul(difference, difference));
      squares = hn::Add(squares, hn::Mul(number, number));
      most = hn::Max(most, hn::Abs(difference));
      zeros += hn::CountTrue(d, hn::And(hn::Eq(left, zero), hn::Ne(number, zero)));
      if constexpr (kDelta) {
        const Vector before = hn::LoadU(d, base + i);
        const Vector change = hn::Sub(number, before);
        deltas = hn::Add(deltas, hn::Mul(change, change));
        base_squares = hn::Add(base_squares, hn::Mul(before, before));
      }
    }
    hn::StoreU(errors, d, error_square + lane);
    hn::StoreU(squares, d, square + lane);
    hn::StoreU(most, d, largest + lane);
    hn::StoreU(deltas, d, delta + lane);
    hn::StoreU(base_squares, d, base_square + lane);
  }
  for (size_t i = whole; i < count; ++i) {
    const double difference = stored[i] - numbers[i];
    error_square[i - whole] += difference * difference;
    square[i - whole] += numbers[i] * numbers[i];
    largest[i - whole] = std::fmax(largest[i - whole], std::fabs(difference));
    zeros += stored[i] == 0.0 && numbers[i] != 0.0 ? 1 : 0;
    if constexpr (kDelta) {
      const double change = numbers[i] - base[i];
      delta[i - whole] += change * change;
      base_square[i - whole] += base[i] * base[i];
    }
  }
  QuantizationError part;
  part.elements = static_cast<int64_t>(count);
  part.zeros_made = static_cast<int64_t>(zeros);
  for (const double most : largest) part.max_error = std::fmax(part.max_error, most);
  part.error_squares = Total(error_square);
  part.number_squares = Total(square);
  error->Add(part);
  if constexpr (kDelta) {
    retained->delta_squares += Total(delta);
    retained->base_squares += Total(base_square);
  }
}

void ErrorKernel(const double* numbers, const double* stored, size_t count,
                 QuantizationError* error) {
  Measure<false>(numbers, stored, nullptr, count, error, nullptr);
}

void ErrorAndDeltaKernel(const double* numbers, const double* stored, const double* base,
                         size_t count, QuantizationError* error, RetainedDelta* retained) {
  Measure<true>(numbers, stored, base, count, error, retained);
}

void RetainedDeltaKernel(const double* HWY_RESTRICT merged, const double* HWY_RESTRICT base,
                         const double* HWY_RESTRICT stored_merged,
                         const double* HWY_RESTRICT stored_base, size_t count,
                         RetainedDelta* retained) {
  const Tag d;
  const size_t whole = count / kLanes * kLanes;
  double sums[6][kLanes];
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    Vector s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d);
    Vector s3 = hn::Zero(d), s4 = hn::Zero(d), s5 = hn::Zero(d);
    for (size_t i = lane; i < whole; i += kLanes) {
      const Vector number = hn::LoadU(d, merged + i);
      const Vector kept = hn::LoadU(d, stored_merged + i);
      const Vector delta = hn::Sub(number, hn::LoadU(d, base + i));
      const Vector left = hn::Sub(kept, hn::LoadU(d, stored_base + i));
      const Vector noise = hn::Sub(kept, number);
      s0 = hn::Add(s0, delta);
      s1 = hn::Add(s1, hn::Mul(delta, delta));
      s2 = hn::Add(s2, left);
      s3 = hn::Add(s3, hn::Mul(left, left));
      s4 = hn::Add(s4, hn::Mul(delta, left));
      s5 = hn::Add(s5, hn::Mul(noise, noise));
    }
    hn::StoreU(s0, d, sums[0] + lane);
    hn::StoreU(s1, d, sums[1] + lane);
    hn::StoreU(s2, d, sums[2] + lane);
    hn::StoreU(s3, d, sums[3] + lane);
    hn::StoreU(s4, d, sums[4] + lane);
    hn::StoreU(s5, d, sums[5] + lane);
  }
  for (size_t i = whole; i < count; ++i) {
    const double delta = merged[i] - base[i];
    const double left = stored_merged[i] - stored_base[i];
    const double noise = stored_merged[i] - merged[i];
    sums[0][i - whole] += delta;
    sums[1][i - whole] += delta * delta;
    sums[2][i - whole] += left;
    sums[3][i - whole] += left * left;
    sums[4][i - whole] += delta * left;
    sums[5][i - whole] += noise * noise;
  }
  RetainedDelta part;
  part.sampled = static_cast<int64_t>(count);
  part.sampled_delta = Total(sums[0]);
  part.sampled_delta_squares = Total(sums[1]);
  part.sampled_stored = Total(sums[2]);
  part.sampled_stored_squares = Total(sums[3]);
  part.sampled_products = Total(sums[4]);
  part.sampled_noise_squares = Total(sums[5]);
  retained->Add(part);
}

}  // namespace
}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::converter {

HWY_EXPORT(ErrorKernel);
HWY_EXPORT(ErrorAndDeltaKernel);
HWY_EXPORT(RetainedDeltaKernel);

void MeasureQuantizationError(std::span<const double> numbers, std::span<const double> stored,
                              QuantizationError* error) {
  HWY_DYNAMIC_DISPATCH(ErrorKernel)(numbers.data(), stored.data(), numbers.size(), error);
}

void MeasureErrorAndDelta(std::span<const double> merged, std::span<const double> stored,
                          std::span<const double> base, QuantizationError* error,
                          RetainedDelta* retained) {
  HWY_DYNAMIC_DISPATCH(ErrorAndDeltaKernel)
  (merged.data(), stored.data(), base.data(), merged.size(), error, retained);
}

void MeasureRetainedDelta(std::span<const double> merged, std::span<const double> base,
                          std::span<const double> stored_merged,
                          std::span<const double> stored_base, RetainedDelta* retained) {
  HWY_DYNAMIC_DISPATCH(RetainedDeltaKernel)
  (merged.data(), base.data(), stored_merged.data(), stored_base.data(), merged.size(), retained);
}

}  // namespace graft::converter
#endif  // HWY_ONCE
