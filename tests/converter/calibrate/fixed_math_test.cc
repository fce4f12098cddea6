// SPDX-License-Identifier: Apache-2.0
// The functions of calibration against the C library's, and the products on every instruction set.
#include "converter/calibrate/fixed_math.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include "converter/calibrate/products.h"

namespace graft::test {
namespace {

using converter::FixedErf;
using converter::FixedExp;
using converter::FixedLog;
using converter::FixedSinCos;
using converter::FixedTanh;

// Units in the last place of binary64.
double Units(double value, double expected) {
  return std::fabs(value - expected) / (std::fabs(expected) * 0x1p-52 + 0x1p-1070);
}

std::vector<float> RandomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& x : numbers) x = normal(random);
  return numbers;
}

TEST_SUITE("converter/fixed_math") {
  TEST_CASE("functions agree with the C library's to some units in the last place") {
    for (int i = -4000; i <= 4000; ++i) {
      const double x = i * 0.01733;
      CHECK(Units(FixedExp(x), std::exp(x)) < 4);
      CHECK(std::fabs(FixedTanh(x) - std::tanh(x)) < 4e-16);
      CHECK(std::fabs(FixedErf(x / 8) - std::erf(x / 8)) < 2e-15);
      double sine = 0, cosine = 0;
      FixedSinCos(x * 150, &sine, &cosine);
      CHECK(std::fabs(sine - std::sin(x * 150)) < 4e-16);
      CHECK(std::fabs(cosine - std::cos(x * 150)) < 4e-16);
      const double y = std::exp(x / 4);
      CHECK(std::fabs(FixedLog(y) - std::log(y)) < 4e-16 * (1 + std::fabs(x)));
    }
    CHECK(FixedExp(0) == 1);
    CHECK(FixedExp(-1e9) == 0);
    CHECK(std::isfinite(FixedExp(1e9)));
    CHECK(FixedTanh(-1e9) == -1);
    CHECK(FixedErf(1e9) == 1);
  }

  TEST_CASE("products are the sums in their order, on every instruction set") {
    constexpr size_t kRows = 13, kIn = 37, kOut = 19, kStride = 23;
    const std::vector<float> x = RandomFloats(kRows * kIn, 1), w = RandomFloats(kOut * kIn, 2);
    std::vector<float> expected(kRows * kStride, 0.5f);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t o = 0; o < kOut; ++o) {
        double sum = 0;
        for (size_t i = 0; i < kIn; ++i) sum += double{x[r * kIn + i]} * double{w[o * kIn + i]};
        expected[r * kStride + o] = static_cast<float>(sum);
      }
    }
    std::vector<double> gram(kIn * kIn, 0.0), a(x.begin(), x.begin() + kIn), sums = a;
    for (size_t i = 0; i < kIn; ++i) {
      for (size_t j = i; j < kIn; ++j) {
        for (size_t r = 0; r < kRows; ++r) {
          gram[i * kIn + j] += double{x[r * kIn + i]} * double{x[r * kIn + j]};
        }
      }
      sums[i] += 0.1 * double{w[i]};
    }
    double dot = std::numeric_limits<double>::quiet_NaN();
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      std::vector<float> y(kRows * kStride, 0.5f);
      converter::MultiplyTransposed(x.data(), w.data(), kRows, kIn, kOut, y.data(), kStride);
      CHECK(y == expected);
      std::vector<double> found(kIn * kIn, 0.0);
      converter::AddGram(x.data(), kRows, kIn, 0, 24, found.data());
      converter::AddGram(x.data(), kRows, kIn, 24, kIn, found.data());
      for (size_t i = 0; i < kIn; ++i) {
        for (size_t j = i; j < kIn; ++j) CHECK(found[i * kIn + j] == gram[i * kIn + j]);
      }
      std::vector<double> to = a, from(w.begin(), w.begin() + kIn);
      converter::AddScaled(0.1, from.data(), kIn, to.data());
      CHECK(to == sums);
      const double here = converter::Dot(a.data(), from.data(), kIn);
      CHECK((std::isnan(dot) || here == dot));
      dot = here;
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

}  // namespace
}  // namespace graft::test
