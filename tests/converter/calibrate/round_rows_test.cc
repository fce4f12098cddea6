// SPDX-License-Identifier: Apache-2.0
// Rounding by what errors do to outputs: never worse than plain rounding, by the outputs themselves.
#include "converter/calibrate/round_rows.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "converter/calibrate/hessian.h"
#include "converter/calibrate/refine_codes.h"
#include "converter/quantize/encode.h"

namespace graft::test {
namespace {

using converter::StorageKind;
using converter::StoredFormat;

constexpr size_t kWidth = 64, kRows = 5, kInputs = 200;

// Inputs that depend on each other, as those of real layers do; column 7 is never used.
std::vector<float> Inputs() {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(kInputs * kWidth);
  for (size_t r = 0; r < kInputs; ++r) {
    const float common = normal(random);
    for (size_t i = 0; i < kWidth; ++i) {
      x[r * kWidth + i] =
          i == 7 ? 0.0f : 2 * common + normal(random) * (1 + static_cast<float>(i % 5));
    }
  }
  return x;
}

std::vector<double> Weights() {
  std::mt19937 random(4);
  std::normal_distribution<double> normal;
  std::vector<double> weights(kRows * kWidth);
  for (double& w : weights) w = normal(random);
  return weights;
}

/// What is left of a row's error in the outputs, summed over the inputs.
double OutputError(const std::vector<float>& x, const double* weights, const double* stored) {
  double sum = 0;
  for (size_t r = 0; r < kInputs; ++r) {
    double error = 0;
    for (size_t i = 0; i < kWidth; ++i) {
      error += double{x[r * kWidth + i]} * (weights[i] - stored[i]);
    }
    sum += error * error;
  }
  return sum;
}

struct Encoded {
  std::vector<uint8_t> data, scales;
  std::vector<double> stored;
  explicit Encoded(const StoredFormat& format)
      : data(kRows * static_cast<size_t>(format.RowDataBytes(kWidth))),
        scales(kRows * static_cast<size_t>(format.RowScaleBytes(kWidth))),
        stored(kRows * kWidth) {}
};

TEST_SUITE("converter/round_rows") {
  TEST_CASE(
      "outputs err much less than with plain rounding, and bytes say what was reckoned with") {
    const std::vector<float> x = Inputs();
    const std::vector<double> weights = Weights();
    const auto hessian = converter::MakeHessian(x, kWidth, 1);
    REQUIRE(hessian.ok());
    for (const StoredFormat format :
         {StoredFormat{StorageKind::kInt4Block, 32}, StoredFormat{StorageKind::kInt4PerChannel},
          StoredFormat{StorageKind::kInt8PerChannel}}) {
      CAPTURE(format.Name());
      Encoded plain(format), rounded(format);
      REQUIRE(converter::EncodeRows(format, weights, kWidth, plain.data.data(), plain.scales.data(),
                                    plain.stored)
                  .ok());
      REQUIRE(converter::RoundRows(*hessian, format, weights, rounded.data.data(),
                                   rounded.scales.data(), rounded.stored)
                  .ok());
      double plain_error = 0, rounded_error = 0;
      for (size_t row = 0; row < kRows; ++row) {
        const double before = OutputError(x, &weights[row * kWidth], &plain.stored[row * kWidth]);
        const double after = OutputError(x, &weights[row * kWidth], &rounded.stored[row * kWidth]);
        CHECK(after < 1.1 * before);  // the damping is not in what is measured here
        plain_error += before;
        rounded_error += after;
      }
      CHECK(rounded_error < 0.68 * plain_error);
      std::vector<double> decoded(rounded.stored.size());
      converter::DecodeRows(format, rounded.data, rounded.scales, kWidth, decoded);
      CHECK(decoded == rounded.stored);
    }
  }

  TEST_CASE("weights that the format has exactly stay as they are") {
    std::vector<double> weights = Weights();
    for (double& w : weights) w = std::nearbyint(std::min(std::max(w * 3, -8.0), 7.0)) * 0.5;
    for (size_t i = 0; i < weights.size(); i += 32) weights[i] = -4.0;
    const auto hessian = converter::MakeHessian(Inputs(), kWidth, 1);
    REQUIRE(hessian.ok());
    const StoredFormat format{StorageKind::kInt4Block, 32};
    Encoded rounded(format);
    REQUIRE(converter::RoundRows(*hessian, format, weights, rounded.data.data(),
                                 rounded.scales.data(), rounded.stored)
                .ok());
    CHECK(rounded.stored == weights);
  }

  TEST_CASE("fitting scales and codes to each other lowers what is left, as it says") {
    const std::vector<float> x = Inputs();
    const std::vector<double> weights = Weights();
    const auto hessian = converter::MakeHessian(x, kWidth, 1);
    REQUIRE(hessian.ok());
    for (const StoredFormat format :
         {StoredFormat{StorageKind::kInt4Block, 32}, StoredFormat{StorageKind::kInt4Block, 64},
          StoredFormat{StorageKind::kInt4PerChannel}, StoredFormat{StorageKind::kInt8PerChannel}}) {
      CAPTURE(format.Name());
      const size_t group = format.kind == StorageKind::kInt4Block ? format.block_size : kWidth;
      const converter::CodeRange range(format);
      const auto refined = [&](int sweeps) {
        converter::Attempt attempt;
        attempt.scales.assign(kRows * kWidth / group, static_cast<float>(3.0 / range.highest));
        for (const double w : weights) {
          attempt.codes.push_back(
              static_cast<int8_t>(range.CodeOf(w, static_cast<double>(attempt.scales[0]))));
        }
        converter::RefineCodes(*hessian, range, group, weights, sweeps, &attempt);
        return attempt;
      };
      const converter::Attempt before = refined(0), after = refined(3);
      for (size_t row = 0; row < kRows; ++row) {
        CHECK(after.losses[row] < before.losses[row]);
        double loss = 0;
        for (size_t i = 0; i < kWidth * kWidth; ++i) {
          const auto error = [&](size_t column) {
            const size_t at = row * kWidth + column;
            return weights[at] - after.codes[at] * double{after.scales[at / group]};
          };
          loss += error(i / kWidth) * error(i % kWidth) * double{hessian->damped[i]};
        }
        CHECK(after.losses[row] == doctest::Approx(loss).epsilon(1e-9));
      }
      for (const float scale : after.scales) CHECK(range.Representable(double{scale}) == scale);
    }
  }

  TEST_CASE("the factor is the damped Hessian's, whatever the number of threads") {
    const std::vector<float> x = Inputs();
    const auto one = converter::MakeHessian(x, kWidth, 1),
               two = converter::MakeHessian(x, kWidth, 2);
    REQUIRE(one.ok());
    REQUIRE(two.ok());
    CHECK(one->feedback == two->feedback);
    double mean = 0;
    for (const double d : one->diagonal) mean += d / kWidth;
    for (size_t i = 0; i < kWidth; i += 9) {
      for (size_t j = 0; j < kWidth; j += 5) {
        double product = 0, expected = i == j ? 0.01 * mean : 0.0;
        for (size_t k = std::max(i, j); k < kWidth; ++k) {
          product += one->feedback[i * kWidth + k] * one->feedback[j * kWidth + k] *
                     one->pivots[k] * one->pivots[k];
        }
        for (size_t r = 0; r < kInputs; ++r) {
          expected += double{x[r * kWidth + one->order[i]]} * double{x[r * kWidth + one->order[j]]};
        }
        CHECK(product == doctest::Approx(expected).epsilon(1e-3).scale(mean));
      }
    }
  }

  TEST_CASE("inputs that are not finite are refused") {
    std::vector<float> x = Inputs();
    x[5] = INFINITY;
    CHECK_FALSE(converter::MakeHessian(x, kWidth, 1).ok());
  }
}

}  // namespace
}  // namespace graft::test
