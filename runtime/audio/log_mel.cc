// SPDX-License-Identifier: Apache-2.0
#include "runtime/audio/log_mel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace graft::runtime {
namespace {

constexpr double kHighestFrequency = 8000.0;
constexpr double kFloor = 1e-10;  // of power
constexpr double kRange = 8.0;    // powers of ten below the loudest that are told apart

// Slaney's scale: a straight line up to 1 kHz, then logarithms.
constexpr double kLinearMels = 3.0 / 200.0;  // a Hertz
constexpr double kLogFrom = 1000.0;
constexpr double kLogFromMels = 15.0;
double MelsOf(double hertz) {
  if (hertz < kLogFrom) return hertz * kLinearMels;
  return kLogFromMels + std::log(hertz / kLogFrom) * (27.0 / std::log(6.4));
}
double HertzOf(double mels) {
  if (mels < kLogFromMels) return mels / kLinearMels;
  return kLogFrom * std::exp((mels - kLogFromMels) * (std::log(6.4) / 27.0));
}

}  // namespace

LogMel::LogMel(const LogMelShape& shape) : shape_(shape) {
  const size_t count = shape.fft_samples;
  for (size_t i = 0; i < count; ++i) {
    const double angle =
        2.0 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(count);
    window_.push_back(0.5 - 0.5 * std::cos(angle));
    rotations_.emplace_back(std::cos(angle), -std::sin(angle));
  }
  spectrum_.resize(count);
  frame_.resize(count);
  power_.resize(count / 2 + 1);
  MakeBands();
}

// Triangles over the bands' neighbours, each of an area that does not depend on its width.
void LogMel::MakeBands() {
  const size_t frequencies = power_.size();
  const double step =
      static_cast<double>(shape_.sample_rate) / 2.0 / static_cast<double>(frequencies - 1);
  const double highest = MelsOf(kHighestFrequency);
  const auto edge = [&](size_t i) {
    return HertzOf(highest * static_cast<double>(i) / static_cast<double>(shape_.mels + 1));
  };
  for (size_t band = 0; band < shape_.mels; ++band) {
    const double low = edge(band), middle = edge(band + 1), high = edge(band + 2);
    Band made;
    for (size_t i = 0; i < frequencies; ++i) {
      const double hertz = static_cast<double>(i) * step;
      const double weight =
          std::max(0.0, std::min((hertz - low) / (middle - low), (high - hertz) / (high - middle)));
      if (weight == 0.0 && made.weights.empty()) continue;
      if (weight == 0.0) break;
      if (made.weights.empty()) made.first = i;
      made.weights.push_back(weight * 2.0 / (high - low));
    }
    bands_.push_back(std::move(made));
  }
}

// The transform of `count` numbers, `stride` apart: of even counts from those of the halves, else
// as its definition says.
// Source   Cooley and Tukey 1965.
void LogMel::Transform(const double* from, size_t stride, size_t count, std::complex<double>* to) {
  const size_t step = rotations_.size() / count;
  if (count % 2 != 0) {
    for (size_t k = 0; k < count; ++k) {
      std::complex<double> sum = 0.0;
      for (size_t i = 0; i < count; ++i) sum += from[i * stride] * rotations_[i * k % count * step];
      to[k] = sum;
    }
    return;
  }
  const size_t half = count / 2;
  Transform(from, 2 * stride, half, to);
  Transform(from + stride, 2 * stride, half, to + half);
  for (size_t k = 0; k < half; ++k) {
    const std::complex<double> even = to[k];
    const std::complex<double> odd = to[k + half] * rotations_[k * step];
    to[k] = even + odd;
    to[k + half] = even - odd;
  }
}

Status LogMel::Compute(std::span<const float> samples, const std::atomic<bool>& cancel,
                       float* features) {
  const auto total = static_cast<ptrdiff_t>(shape_.window_samples());
  const auto count = static_cast<ptrdiff_t>(shape_.fft_samples);
  // Frames are centered; beyond its ends the sound is mirrored.
  const auto sample = [&](ptrdiff_t at) {
    if (at < 0) at = -at;
    if (at >= total) at = 2 * (total - 1) - at;
    return at < static_cast<ptrdiff_t>(samples.size())
               ? static_cast<double>(samples[static_cast<size_t>(at)])
               : 0.0;
  };
  float loudest = -std::numeric_limits<float>::infinity();
  for (size_t frame = 0; frame < shape_.frames; ++frame) {
    if (cancel.load(std::memory_order_relaxed)) return Status(StatusCode::kCancelled, "cancelled");
    const auto first = static_cast<ptrdiff_t>(frame * shape_.hop_samples) - count / 2;
    for (ptrdiff_t i = 0; i < count; ++i)
      frame_[static_cast<size_t>(i)] = sample(first + i) * window_[static_cast<size_t>(i)];
    Transform(frame_.data(), 1, shape_.fft_samples, spectrum_.data());
    for (size_t i = 0; i < power_.size(); ++i) power_[i] = std::norm(spectrum_[i]);
    for (size_t band = 0; band < bands_.size(); ++band) {
      double sum = 0.0;
      for (size_t i = 0; i < bands_[band].weights.size(); ++i)
        sum += bands_[band].weights[i] * power_[bands_[band].first + i];
      const auto level = static_cast<float>(std::log10(std::max(sum, kFloor)));
      features[band * shape_.frames + frame] = level;
      loudest = std::max(loudest, level);
    }
  }
  const auto lowest = loudest - static_cast<float>(kRange);
  for (size_t i = 0; i < size_t{shape_.mels} * shape_.frames; ++i)
    features[i] = (std::max(features[i], lowest) + 4.0f) / 4.0f;
  return OkStatus();
}

}  // namespace graft::runtime
