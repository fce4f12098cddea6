// SPDX-License-Identifier: Apache-2.0
// Sound from WAV files: PCM of 8, 16, 24 and 32 bits or floats, any rate, any number of channels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft_run {

/// One channel, between -1 and 1.
struct Sound {
  uint32_t sample_rate = 0;
  std::vector<float> samples;
};

/// Reads `bytes` as a WAV file; channels become their mean. Returns an empty string, or what is
/// wrong. Takes four times the file's bytes at most.
std::string ReadWav(std::string_view bytes, Sound* sound);

/// The same sound at another rate: what both can hold, without what one of them cannot. A rate that
/// it has already costs nothing.
/// Source   Smith, "Digital Audio Resampling" (windowed sinc).
void Resample(uint32_t sample_rate, Sound* sound);

}  // namespace graft_run
