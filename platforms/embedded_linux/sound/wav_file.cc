// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/sound/wav_file.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <numbers>
#include <numeric>
#include <utility>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

constexpr uint16_t kPcm = 1, kFloat = 3, kExtensible = 0xFFFE;
constexpr uint32_t kMinRate = 1000, kMaxRate = 768000;
constexpr uint64_t kMaxSeconds = uint64_t{6} * 3600;
constexpr uint32_t kMaxChannels = 64;

struct Layout {
  uint32_t format = 0, channels = 0, rate = 0, frame_bytes = 0, bits = 0;
};

uint32_t NumberAt(std::string_view bytes, size_t at, size_t count) {
  uint32_t number = 0;
  for (size_t i = 0; i < count; ++i)
    number |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return number;
}

std::string ReadLayout(std::string_view chunk, Layout* layout) {
  if (chunk.size() < 16) return "its format is cut off";
  layout->format = NumberAt(chunk, 0, 2);
  layout->channels = NumberAt(chunk, 2, 2);
  layout->rate = NumberAt(chunk, 4, 4);
  layout->frame_bytes = NumberAt(chunk, 12, 2);
  layout->bits = NumberAt(chunk, 14, 2);
  if (layout->format == kExtensible && chunk.size() >= 26) layout->format = NumberAt(chunk, 24, 2);
  const bool known =
      layout->format == kPcm
          ? layout->bits == 8 || layout->bits == 16 || layout->bits == 24 || layout->bits == 32
          : layout->format == kFloat && (layout->bits == 32 || layout->bits == 64);
  if (!known) {
    return Format(
        "holds sound of format %u with %u bits; PCM of 8, 16, 24 and 32 bits and floats "
        "are read",
        layout->format, layout->bits);
  }
  if (layout->rate < kMinRate || layout->rate > kMaxRate || layout->channels < 1 ||
      layout->channels > kMaxChannels ||
      layout->frame_bytes != layout->channels * layout->bits / 8) {
    return Format("holds %u channels at %u Hz in %u bytes, which is no sound", layout->channels,
                  layout->rate, layout->frame_bytes);
  }
  return {};
}

float SampleAt(std::string_view bytes, size_t at, const Layout& layout) {
  if (layout.format == kFloat && layout.bits == 32) {
    float sample = 0.0f;
    std::memcpy(&sample, bytes.data() + at, sizeof(sample));
    return sample;
  }
  if (layout.format == kFloat) {
    double sample = 0.0;
    std::memcpy(&sample, bytes.data() + at, sizeof(sample));
    return static_cast<float>(sample);
  }
  const uint32_t number = NumberAt(bytes, at, layout.bits / 8);
  if (layout.bits == 8) return (static_cast<float>(number) - 128.0f) / 128.0f;
  const auto shifted = static_cast<int32_t>(number << (32 - layout.bits));
  return static_cast<float>(shifted) / 2147483648.0f;
}

}  // namespace

std::string ReadWav(std::string_view bytes, Sound* sound) {
  if (bytes.size() < 12 || bytes.substr(0, 4) != "RIFF" || bytes.substr(8, 4) != "WAVE")
    return "is no WAV file";
  Layout layout;
  for (size_t at = 12; bytes.size() - at >= 8;) {
    const std::string_view name = bytes.substr(at, 4);
    // Streams say 0 or as much as there can be: it goes up to the file's end.
    const size_t size = std::min<size_t>(NumberAt(bytes, at + 4, 4), bytes.size() - at - 8);
    const std::string_view chunk = bytes.substr(at + 8, size);
    if (name == "fmt ") {
      if (std::string problem = ReadLayout(chunk, &layout); !problem.empty()) return problem;
    } else if (name == "data") {
      if (layout.frame_bytes == 0) return "has sound before its format";
      const std::string_view data = size == 0 ? bytes.substr(at + 8) : chunk;
      const size_t frames = data.size() / layout.frame_bytes;
      if (frames == 0) return "holds no sound";
      if (frames / layout.rate > kMaxSeconds)
        return Format("holds more than %u hours", static_cast<unsigned>(kMaxSeconds / 3600));
      sound->sample_rate = layout.rate;
      sound->samples.resize(frames);
      for (size_t frame = 0; frame < frames; ++frame) {
        double sum = 0.0;
        for (uint32_t channel = 0; channel < layout.channels; ++channel)
          sum += SampleAt(data, frame * layout.frame_bytes + channel * layout.bits / 8, layout);
        const auto sample = static_cast<float>(sum / layout.channels);
        sound->samples[frame] = std::isfinite(sample) ? std::clamp(sample, -1.0f, 1.0f) : 0.0f;
      }
      return {};
    }
    at += 8 + std::min(size + size % 2, bytes.size() - at - 8);
  }
  return "holds no sound";
}

void Resample(uint32_t sample_rate, Sound* sound) {
  if (sound->sample_rate == sample_rate) return;
  constexpr double kCrossings = 16.0;  // of the sinc on either side
  const uint32_t common = std::gcd(sample_rate, sound->sample_rate);
  const uint64_t phases = sample_rate / common;  // places of a new sample between two old ones
  const uint64_t advance = sound->sample_rate / common;  // of a new sample, in such places
  const double band = std::min(1.0, static_cast<double>(phases) / static_cast<double>(advance));
  const double reach = kCrossings / band;
  const auto half = static_cast<ptrdiff_t>(std::ceil(reach));
  const auto taps = static_cast<size_t>(2 * half + 1);
  std::vector<float> weights(phases * taps);
  for (uint64_t phase = 0; phase < phases; ++phase) {
    for (size_t tap = 0; tap < taps; ++tap) {
      const double distance = static_cast<double>(tap) - static_cast<double>(half) -
                              static_cast<double>(phase) / static_cast<double>(phases);
      if (std::abs(distance) >= reach) continue;
      const double angle = std::numbers::pi * distance * band;
      const double sinc = angle == 0.0 ? 1.0 : std::sin(angle) / angle;
      const double window = 0.5 + 0.5 * std::cos(std::numbers::pi * distance / reach);
      weights[phase * taps + tap] = static_cast<float>(sinc * window * band);
    }
  }
  const uint64_t old_count = sound->samples.size();
  std::vector<float> samples(
      static_cast<size_t>(std::max<uint64_t>(1, old_count * phases / advance)));
  for (size_t i = 0; i < samples.size(); ++i) {
    const uint64_t place = i * advance;
    const auto center = static_cast<ptrdiff_t>(place / phases);
    const float* weight = weights.data() + place % phases * taps;
    double sum = 0.0;
    for (size_t tap = 0; tap < taps; ++tap) {
      const ptrdiff_t from = center + static_cast<ptrdiff_t>(tap) - half;
      if (from < 0 || static_cast<uint64_t>(from) >= old_count) continue;
      sum += static_cast<double>(weight[tap]) *
             static_cast<double>(sound->samples[static_cast<size_t>(from)]);
    }
    samples[i] = static_cast<float>(sum);
  }
  sound->samples = std::move(samples);
  sound->sample_rate = sample_rate;
}

}  // namespace graft_run
