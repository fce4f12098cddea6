// SPDX-License-Identifier: Apache-2.0
// LogMel: sound as the logarithms of its loudness in bands of the mel scale, as Whisper hears it.
#pragma once

#include <atomic>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/status.h"

namespace graft::runtime {

struct LogMelShape {
  uint32_t sample_rate = 16000;
  uint32_t fft_samples = 400;  ///< even
  uint32_t hop_samples = 160;
  uint32_t mels = 80;
  uint32_t frames = 3000;

  size_t window_samples() const { return size_t{frames} * hop_samples; }
};

/// Computes the same numbers on any machine but for its library's sines and logarithms.
/// Thread   One at a time.
class LogMel {
 public:
  /// Requires a shape as schema/ops/verify_source.cc bounds it.
  explicit LogMel(const LogMelShape& shape);

  /// samples: at most window_samples() of them between -1 and 1; silence follows. features [mels,
  /// frames]. *cancel is looked at before every frame.
  /// Errors   kCancelled.
  /// Source   Radford et al. 2022; transformers' WhisperFeatureExtractor, within 1e-5 of it.
  Status Compute(std::span<const float> samples, const std::atomic<bool>& cancel, float* features);

 private:
  // Weights of a band, of the frequencies from `first` on.
  struct Band {
    size_t first = 0;
    std::vector<double> weights;
  };

  void MakeBands();
  void Transform(const double* from, size_t stride, size_t count, std::complex<double>* to);

  LogMelShape shape_;
  std::vector<double> window_;                   // Hann's, periodic
  std::vector<std::complex<double>> rotations_;  // e^(-2 pi i k / fft_samples)
  std::vector<std::complex<double>> spectrum_;
  std::vector<double> frame_;
  std::vector<double> power_;
  std::vector<Band> bands_;
};

}  // namespace graft::runtime
