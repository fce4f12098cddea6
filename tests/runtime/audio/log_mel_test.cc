// SPDX-License-Identifier: Apache-2.0
// Spectrograms are those of transformers' WhisperFeatureExtractor.
#include "runtime/audio/log_mel.h"

#include <atomic>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

namespace graft::runtime {
namespace {

// A chirp that gets louder, of 10000 samples; silence follows.
std::vector<float> Chirp() {
  std::vector<float> samples(10000);
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto time = static_cast<double>(i);
    samples[i] = static_cast<float>(0.6 * std::sin(2e-5 * time * time) * (time / 10000.0) +
                                    0.05 * std::sin(1.7 * time));
  }
  return samples;
}

struct Point {
  size_t band, frame;
  float level;
};

// WhisperFeatureExtractor of transformers 5.12 with chunk_length 1, in NumPy's float64.
const std::vector<Point> kOf80 = {
    {0, 0, -0.372373f},  {0, 1, 0.565303f},    {0, 31, -0.531903f}, {0, 62, 0.218533f},
    {1, 0, -0.322933f},  {1, 1, 0.374756f},    {1, 31, -0.517350f}, {1, 63, 0.284022f},
    {20, 0, -0.070534f}, {20, 31, -0.162734f}, {20, 62, 0.733229f}, {20, 63, 0.739793f},
    {40, 0, -0.025048f}, {40, 62, 0.583068f},  {40, 63, 0.581991f}, {40, 99, -0.531903f},
    {78, 0, -0.015757f}, {78, 1, -0.525921f},  {78, 62, 0.249976f}, {78, 99, -0.531903f},
    {79, 0, -0.021199f}, {79, 1, -0.531366f},  {79, 62, 0.248359f}, {79, 63, 0.246332f}};
const std::vector<Point> kOf128 = {
    {0, 0, -0.448132f},   {0, 1, 0.489543f},    {0, 62, 0.142774f},   {0, 99, -0.473788f},
    {1, 0, -0.350568f},   {1, 1, 0.587108f},    {1, 62, 0.240338f},   {32, 0, -0.086836f},
    {32, 31, -0.134455f}, {32, 62, 0.696650f},  {32, 63, 0.704048f},  {64, 0, -0.033494f},
    {64, 62, 0.578399f},  {126, 0, -0.020745f}, {126, 63, 0.246167f}, {127, 0, -0.022347f},
    {127, 62, 0.248120f}, {127, 99, -0.473788f}};

}  // namespace

TEST_SUITE("runtime/log_mel") {
  TEST_CASE("80 and 128 bands are those of transformers") {
    for (const uint32_t bands : {80u, 128u}) {
      CAPTURE(bands);
      LogMel log_mel({16000, 400, 160, bands, 100});
      std::vector<float> features(size_t{bands} * 100);
      const std::atomic<bool> cancel{false};
      REQUIRE(log_mel.Compute(Chirp(), cancel, features.data()).ok());
      for (const Point& point : bands == 80 ? kOf80 : kOf128) {
        CAPTURE(point.band);
        CAPTURE(point.frame);
        CHECK(std::fabs(features[point.band * 100 + point.frame] - point.level) < 1e-5f);
      }
      // Computed again, nothing is left of before.
      std::vector<float> again(features.size());
      REQUIRE(log_mel.Compute(Chirp(), cancel, again.data()).ok());
      CHECK(again == features);
    }
  }

  TEST_CASE("a window is as long as its frames, silence is flat, and a cancel ends it") {
    const LogMelShape shape{8000, 24, 10, 5, 6};
    LogMel log_mel(shape);
    CHECK(shape.window_samples() == 60);
    std::vector<float> features(30);
    std::atomic<bool> cancel{false};
    REQUIRE(log_mel.Compute(std::vector<float>(60), cancel, features.data()).ok());
    for (const float level : features) CHECK(level == -1.5f);  // (log10(1e-10) + 4) / 4
    cancel = true;
    CHECK(log_mel.Compute(std::vector<float>(60), cancel, features.data()).code() ==
          StatusCode::kCancelled);
  }
}

}  // namespace graft::runtime
