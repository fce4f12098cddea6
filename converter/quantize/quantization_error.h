// SPDX-License-Identifier: Apache-2.0
// What storing numbers in fewer bits did to them, and what is left of an adapter's change
// afterwards.
#pragma once

#include <cstdint>
#include <span>

namespace graft::converter {

/// Sums over the elements of a tensor, or of some of its rows. Add parts in a fixed order:
/// floating-point sums depend on it.
struct QuantizationError {
  int64_t elements = 0;
  int64_t zeros_made = 0;       ///< Numbers that were not zero and are stored as zero.
  double max_error = 0.0;       ///< Largest |stored - number|.
  double error_squares = 0.0;   ///< Sum of (stored - number)^2.
  double number_squares = 0.0;  ///< Sum of number^2.

  void Add(const QuantizationError& other);
  /// 10 log10(number_squares / error_squares), at most 200; 200 if nothing was lost.
  double SnrDb() const;
};

/// Adds what was lost between `numbers` and what is `stored` for them. Same size.
void MeasureQuantizationError(std::span<const double> numbers, std::span<const double> stored,
                              QuantizationError* error);

/// How an adapter's change d = merged - base compares with the base, over all elements, and with
/// the change q that is left between the stored forms of both, over a sample of rows.
struct RetainedDelta {
  double delta_squares = 0.0;  ///< Sum of d^2.
  double base_squares = 0.0;   ///< Sum of base^2.

  int64_t sampled = 0;
  double sampled_delta = 0.0;  ///< Sum of d.
  double sampled_delta_squares = 0.0;
  double sampled_stored = 0.0;  ///< Sum of q.
  double sampled_stored_squares = 0.0;
  double sampled_products = 0.0;       ///< Sum of d * q.
  double sampled_noise_squares = 0.0;  ///< Sum of (stored merged - merged)^2.

  void Add(const RetainedDelta& other);
  /// |d| / |base|; 0 if the base is all zeros.
  double DeltaRatio() const;
  /// Pearson correlation of q and d; 0 if either is constant or nothing was sampled.
  double Correlation() const;
  /// |stored - merged| / |d|: above 1, rounding is louder than the adapter. 0 if nothing was
  /// sampled.
  double NoiseRatio() const;
};

/// MeasureQuantizationError of `merged`, and its change from `base` over all elements.
void MeasureErrorAndDelta(std::span<const double> merged, std::span<const double> stored,
                          std::span<const double> base, QuantizationError* error,
                          RetainedDelta* retained);
/// What is left of that change, for a row of the sample.
void MeasureRetainedDelta(std::span<const double> merged, std::span<const double> base,
                          std::span<const double> stored_merged,
                          std::span<const double> stored_base, RetainedDelta* retained);

}  // namespace graft::converter
