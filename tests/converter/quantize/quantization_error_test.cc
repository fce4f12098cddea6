// SPDX-License-Identifier: Apache-2.0
// Quantization error and retained delta against plain sums.
#include "converter/quantize/quantization_error.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

// Sums of 1003 terms in another order differ by some units in the last place of each term.
constexpr double kSumTolerance = 1003 * 0x1p-52;

std::vector<double> Numbers(uint32_t seed) { return RandomTensor({1003}, seed).values; }

bool SameBits(const QuantizationError& a, const QuantizationError& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

TEST_SUITE("converter/quantization_error") {
  TEST_CASE("measures what was lost, with the same bits on every target") {
    std::vector<double> numbers = Numbers(1);
    std::vector<double> stored = numbers;
    numbers[7] = 0;
    stored[7] = 0;
    for (size_t i = 0; i < stored.size(); i += 3) stored[i] += 0x1p-10 * (i % 7 == 0 ? 2 : -1);
    for (const size_t zeroed : {size_t{500}, size_t{1002}}) stored[zeroed] = 0;
    double error = 0;
    double square = 0;
    double largest = 0;
    for (size_t i = 0; i < numbers.size(); ++i) {
      const double difference = std::fabs(numbers[i] - stored[i]);
      error += difference * difference;
      square += numbers[i] * numbers[i];
      largest = std::max(largest, difference);
    }
    hwy::SetSupportedTargetsForTest(0);
    QuantizationError first;
    MeasureQuantizationError(numbers, stored, &first);
    CHECK(first.elements == 1003);
    CHECK(first.zeros_made == 2);
    CHECK(first.max_error == largest);
    CHECK(first.error_squares == doctest::Approx(error).epsilon(kSumTolerance));
    CHECK(first.number_squares == doctest::Approx(square).epsilon(kSumTolerance));
    CHECK(first.SnrDb() == doctest::Approx(10 * std::log10(square / error)));
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      QuantizationError measured;
      MeasureQuantizationError(numbers, stored, &measured);
      INFO("target ", hwy::TargetName(target));
      CHECK(SameBits(measured, first));
    }
    hwy::SetSupportedTargetsForTest(0);
  }

  TEST_CASE("calls numbers that were kept exactly lossless") {
    const std::vector<double> numbers = Numbers(2);
    QuantizationError error;
    MeasureQuantizationError(numbers, numbers, &error);
    CHECK(error.SnrDb() == 200.0);
    CHECK(error.zeros_made == 0);
  }

  TEST_CASE("correlates what an adapter changed with what is left of it") {
    const std::vector<double> base = Numbers(3);
    std::vector<double> merged = base;
    std::vector<double> stored_base = base;
    std::vector<double> stored = base;
    const std::vector<double> delta = Numbers(4);
    const std::vector<double> noise = Numbers(5);
    double sums[5] = {};
    for (size_t i = 0; i < base.size(); ++i) {
      merged[i] += delta[i] / 8;
      stored[i] = merged[i] + noise[i] / 16;
      const double d = merged[i] - base[i];
      const double q = stored[i] - stored_base[i];
      sums[0] += d;
      sums[1] += d * d;
      sums[2] += q;
      sums[3] += q * q;
      sums[4] += d * q;
    }
    const double n = 1003;
    const double expected =
        (sums[4] - sums[0] * sums[2] / n) /
        std::sqrt((sums[1] - sums[0] * sums[0] / n) * (sums[3] - sums[2] * sums[2] / n));
    RetainedDelta retained;
    QuantizationError error;
    MeasureErrorAndDelta(merged, stored, base, &error, &retained);
    QuantizationError alone;
    MeasureQuantizationError(merged, stored, &alone);
    CHECK(error.error_squares == alone.error_squares);
    CHECK(error.max_error == alone.max_error);
    MeasureRetainedDelta(merged, base, stored, stored_base, &retained);
    CHECK(retained.Correlation() == doctest::Approx(expected));
    CHECK(expected > 0.8);
    CHECK(expected < 0.95);
    CHECK(retained.NoiseRatio() == doctest::Approx(0.5).epsilon(0.05));
    CHECK(retained.DeltaRatio() == doctest::Approx(0.125).epsilon(0.05));
  }

  TEST_CASE("knows nothing of an adapter that was not sampled") {
    const RetainedDelta retained;
    CHECK(retained.Correlation() == 0);
    CHECK(retained.NoiseRatio() == 0);
    CHECK(retained.DeltaRatio() == 0);
  }
}

}  // namespace graft::converter
