// SPDX-License-Identifier: Apache-2.0
#include "converter/quantize/damage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace graft::converter {
namespace {

// Sums run in this many lanes, element i in lane i % kLanes, and the lanes are added in order: one
// fixed order of additions that any vector width can follow.
constexpr size_t kLanes = 8;
using Lanes = std::array<double, kLanes>;

double Total(const Lanes& lanes) {
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace

void Damage::Add(const Damage& other) {
  elements += other.elements;
  zeros_made += other.zeros_made;
  max_error = std::max(max_error, other.max_error);
  error_squares += other.error_squares;
  number_squares += other.number_squares;
}

double Damage::SnrDb() const {
  constexpr double kLossless = 200.0;
  if (error_squares <= 0.0) return kLossless;
  if (number_squares <= 0.0) return 0.0;
  return std::min(kLossless, 10.0 * std::log10(number_squares / error_squares));
}

void DeltaSurvival::Add(const DeltaSurvival& other) {
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

double DeltaSurvival::DeltaRatio() const {
  return base_squares > 0.0 ? std::sqrt(delta_squares / base_squares) : 0.0;
}

double DeltaSurvival::Correlation() const {
  if (sampled == 0) return 0.0;
  const auto n = static_cast<double>(sampled);
  const double covariance = sampled_products - sampled_delta * sampled_stored / n;
  const double delta_variance = sampled_delta_squares - sampled_delta * sampled_delta / n;
  const double stored_variance = sampled_stored_squares - sampled_stored * sampled_stored / n;
  if (delta_variance <= 0.0 || stored_variance <= 0.0) return 0.0;
  return covariance / (std::sqrt(delta_variance) * std::sqrt(stored_variance));
}

double DeltaSurvival::NoiseRatio() const {
  return sampled_delta_squares > 0.0 ? std::sqrt(sampled_noise_squares / sampled_delta_squares)
                                     : 0.0;
}

void MeasureDamage(std::span<const double> numbers, std::span<const double> stored,
                   Damage* damage) {
  Lanes error{};
  Lanes square{};
  Lanes largest{};
  int64_t zeros = 0;
  const auto add = [&](size_t i, size_t lane) {
    const double difference = stored[i] - numbers[i];
    const double distance = std::fabs(difference);
    error[lane] += difference * difference;
    square[lane] += numbers[i] * numbers[i];
    largest[lane] = distance > largest[lane] ? distance : largest[lane];
    zeros += static_cast<int64_t>(stored[i] == 0.0) & static_cast<int64_t>(numbers[i] != 0.0);
  };
  size_t i = 0;
  for (; i + kLanes <= numbers.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  }
  for (size_t lane = 0; i < numbers.size(); ++i, ++lane) add(i, lane);
  Damage part;
  part.elements = static_cast<int64_t>(numbers.size());
  part.zeros_made = zeros;
  part.max_error = *std::max_element(largest.begin(), largest.end());
  part.error_squares = Total(error);
  part.number_squares = Total(square);
  damage->Add(part);
}

void MeasureDelta(std::span<const double> merged, std::span<const double> base,
                  DeltaSurvival* survival) {
  Lanes delta{};
  Lanes square{};
  const auto add = [&](size_t i, size_t lane) {
    const double difference = merged[i] - base[i];
    delta[lane] += difference * difference;
    square[lane] += base[i] * base[i];
  };
  size_t i = 0;
  for (; i + kLanes <= merged.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  }
  for (size_t lane = 0; i < merged.size(); ++i, ++lane) add(i, lane);
  survival->delta_squares += Total(delta);
  survival->base_squares += Total(square);
}

void MeasureSurvival(std::span<const double> merged, std::span<const double> base,
                     std::span<const double> stored_merged, std::span<const double> stored_base,
                     DeltaSurvival* survival) {
  DeltaSurvival part;
  part.sampled = static_cast<int64_t>(merged.size());
  for (size_t i = 0; i < merged.size(); ++i) {
    const double delta = merged[i] - base[i];
    const double left = stored_merged[i] - stored_base[i];
    const double noise = stored_merged[i] - merged[i];
    part.sampled_delta += delta;
    part.sampled_delta_squares += delta * delta;
    part.sampled_stored += left;
    part.sampled_stored_squares += left * left;
    part.sampled_products += delta * left;
    part.sampled_noise_squares += noise * noise;
  }
  survival->Add(part);
}

}  // namespace graft::converter
