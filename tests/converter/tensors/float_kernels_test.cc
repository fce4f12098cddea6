// SPDX-License-Identifier: Apache-2.0
// The vectorized low-rank update gives, bit for bit, what three plain loops give, on every
// instruction set there is.
#include "converter/tensors/float_kernels.h"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

struct Problem {
  size_t rows, columns, rank;
  std::vector<double> a, b, out, expected;
};

Problem Make(size_t rows, size_t columns, size_t rank, double scale) {
  Problem p{rows, columns, rank, {}, {}, {}, {}};
  const auto size = [](size_t n) { return static_cast<int64_t>(n); };
  p.a = RandomTensor({size(rank), size(columns)}, 11).values;
  p.b = RandomTensor({size(rows), size(rank)}, 12).values;
  p.out = RandomTensor({size(rows), size(columns)}, 13).values;
  p.out[0] = -0.0;
  for (size_t k = 0; k < rank; ++k) p.b[k] = 0;  // the first row gets no update at all
  p.expected = p.out;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      double sum = 0;
      for (size_t k = 0; k < rank; ++k) {
        const double product = p.b[r * rank + k] * p.a[k * columns + c];
        sum = sum + product;
      }
      const double delta = scale * sum;
      if (delta != 0) p.expected[r * columns + c] = p.out[r * columns + c] + delta;
    }
  }
  return p;
}

int Differences(const Problem& p, double scale, bool exact) {
  std::vector<double> out = p.out;
  AddLowRank(p.a.data(), p.columns, p.b.data(), p.rank, p.rows, p.columns, p.rank, scale, exact,
             out.data(), p.columns);
  int different = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    different += out[i] != p.expected[i] || std::signbit(out[i]) != std::signbit(p.expected[i]);
  }
  return different;
}

TEST_SUITE("converter/merge_kernels") {
  TEST_CASE("adds a low-rank product exactly as three loops do, on every target") {
    const double scale = 16.0 / 3;
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      INFO("target ", hwy::TargetName(target));
      for (const bool exact : {true, false}) {
        CHECK(Differences(Make(7, 53, 11, scale), scale, exact) == 0);
        CHECK(Differences(Make(1, 1, 1, scale), scale, exact) == 0);
        CHECK(Differences(Make(13, 129, 3, scale), scale, exact) == 0);
      }
    }
    hwy::SetSupportedTargetsForTest(0);
  }

  TEST_CASE("leaves minus zero alone where nothing is added") {
    const Problem p = Make(5, 31, 2, 1);
    std::vector<double> out = p.out;
    AddLowRank(p.a.data(), p.columns, p.b.data(), p.rank, p.rows, p.columns, p.rank, 1, true,
               out.data(), p.columns);
    CHECK(std::signbit(out[0]));
  }
}

}  // namespace
}  // namespace graft::converter
