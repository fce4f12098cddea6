// SPDX-License-Identifier: Apache-2.0
// Bytes go where they save most, and never beyond what there is.
#include "converter/sensitivity/spend_bits.h"

#include <algorithm>
#include <random>
#include <vector>

#include <doctest/doctest.h>

namespace graft::test {
namespace {

using converter::Spend;
using converter::Spending;
using converter::StorageChoice;
using Matrices = std::vector<std::vector<StorageChoice>>;

// Three ways for each of `count` matrices: the more bytes, the less is lost.
Matrices RandomMatrices(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  Matrices matrices(count);
  for (std::vector<StorageChoice>& choices : matrices) {
    const auto size = static_cast<int64_t>(10 + random() % 90);
    const double loss = static_cast<double>(1 + random() % 1000);
    choices = {{size * 4, loss * 1.3}, {size * 5, loss}, {size * 9, loss * 0.01}};
  }
  return matrices;
}

// The least loss that any choice has, found by trying all.
double LeastLoss(const Matrices& matrices, int64_t bytes, size_t from = 0) {
  if (from == matrices.size()) return bytes < 0 ? 1e300 : 0.0;
  double least = 1e300;
  for (const StorageChoice& choice : matrices[from]) {
    least =
        std::min(least, choice.divergence + LeastLoss(matrices, bytes - choice.bytes, from + 1));
  }
  return least;
}

TEST_SUITE("converter/sensitivity/spend_bits") {
  TEST_CASE("what is chosen fits, is summed up rightly, and is close to the best there is") {
    double all = 0, best = 0;
    for (uint32_t seed = 1; seed <= 20; ++seed) {
      const Matrices matrices = RandomMatrices(seed, 8);
      int64_t smallest = 0, largest = 0;
      for (const auto& choices : matrices) {
        smallest += choices.front().bytes;
        largest += choices.back().bytes;
      }
      for (int part = 0; part <= 4; ++part) {
        const int64_t bytes = smallest + (largest - smallest) * part / 4;
        const Spending spending = Spend(matrices, bytes);
        int64_t taken = 0;
        double loss = 0;
        for (size_t m = 0; m < matrices.size(); ++m) {
          taken += matrices[m][spending.chosen[m]].bytes;
          loss += matrices[m][spending.chosen[m]].divergence;
        }
        CHECK(taken == spending.bytes);
        CHECK(loss == doctest::Approx(spending.divergence));
        CHECK(taken <= bytes);
        const double least = LeastLoss(matrices, bytes);
        CHECK(loss >= least * 0.999999);
        CHECK(loss <= least * 1.5);
        all += loss;
        best += least;
      }
    }
    CHECK(all <= best * 1.05);
  }

  TEST_CASE("a matrix that is most of the whole is not left out for being large") {
    // The small ones save more per byte, and then the large one would not fit any more.
    Matrices matrices(20, {{40, 1.0}, {90, 0.0}});
    matrices.push_back({{4000, 90.0}, {9000, 0.0}});
    const Spending spending = Spend(matrices, 20 * 40 + 9000);
    CHECK(spending.chosen.back() == 1);
    CHECK(spending.divergence == doctest::Approx(20.0));
  }

  TEST_CASE("with too few bytes everything is as small as it can be") {
    const Matrices matrices = RandomMatrices(3, 5);
    const Spending spending = Spend(matrices, 1);
    CHECK(std::all_of(spending.chosen.begin(), spending.chosen.end(),
                      [](size_t choice) { return choice == 0; }));
    CHECK(spending.bytes > 1);
  }

  TEST_CASE("nothing is bought that saves nothing, and no way that others make useless") {
    const Matrices matrices = {{{10, 1.0}, {20, 1.0}, {30, 1.5}},
                               {{10, 1.0}, {12, 0.99}, {20, 0.0}}};
    const Spending spending = Spend(matrices, 1000);
    CHECK(spending.chosen == std::vector<size_t>{0, 2});
  }
}

}  // namespace
}  // namespace graft::test
