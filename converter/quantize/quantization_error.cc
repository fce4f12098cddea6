// SPDX-License-Identifier: Apache-2.0
#include "converter/quantize/quantization_error.h"

#include <algorithm>
#include <cmath>

namespace graft::converter {
void QuantizationError::Add(const QuantizationError& other) {
  elements += other.elements;
  zeros_made += other.zeros_made;
  max_error = std::max(max_error, other.max_error);
  error_squares += other.error_squares;
  number_squares += other.number_squares;
}

double QuantizationError::SnrDb() const {
  constexpr double kLossless = 200.0;
  if (error_squares <= 0.0) return kLossless;
  if (number_squares <= 0.0) return 0.0;
  return std::min(kLossless, 10.0 * std::log10(number_squares / error_squares));
}

void RetainedDelta::Add(const RetainedDelta& other) {
  delta_squares += other.delta_squares;
  base_squares += other.base_squares;
  sampled += other.sampled;
  sampled_delta += other.sampled_delta;
  sampled_delta_squares += other.sampled_delta_squares;
  sampled_stored += other.sampled_stored;
  sampled_stored_squares += other.sampled_stored_squares;
  sampled_products += other.sampled_products;
  sampled_noise_squares += other.sampled_noise_squares;
}

double RetainedDelta::DeltaRatio() const {
  return base_squares > 0.0 ? std::sqrt(delta_squares / base_squares) : 0.0;
}

double RetainedDelta::Correlation() const {
  if (sampled == 0) return 0.0;
  const auto n = static_cast<double>(sampled);
  const double covariance = sampled_products - sampled_delta * sampled_stored / n;
  const double delta_variance = sampled_delta_squares - sampled_delta * sampled_delta / n;
  const double stored_variance = sampled_stored_squares - sampled_stored * sampled_stored / n;
  if (delta_variance <= 0.0 || stored_variance <= 0.0) return 0.0;
  return covariance / (std::sqrt(delta_variance) * std::sqrt(stored_variance));
}

double RetainedDelta::NoiseRatio() const {
  return sampled_delta_squares > 0.0 ? std::sqrt(sampled_noise_squares / sampled_delta_squares)
                                     : 0.0;
}

}  // namespace graft::converter
