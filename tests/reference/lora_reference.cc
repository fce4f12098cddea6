// SPDX-License-Identifier: Apache-2.0
// Plain loops; nothing here is shared with the converter.
#include "tests/reference/lora_reference.h"

#include <cmath>
#include <cstddef>

namespace graft::reference {
namespace {

// One element of b * a, as seen from position (row, column) of the weight.
double Element(const LowRank& update, int64_t row, int64_t column, int64_t rows, int64_t columns,
               bool sizes) {
  const bool straight = update.orientation == Orientation::kStraight;
  const int64_t out = straight ? row : column;
  const int64_t in = straight ? column : row;
  const int64_t in_features = straight ? columns : rows;
  double sum = 0;
  for (int64_t k = 0; k < update.rank; ++k) {
    const double b = update.b[static_cast<size_t>(out * update.rank + k)];
    const double a = update.a[static_cast<size_t>(k * in_features + in)];
    sum += sizes ? std::fabs(b * a) : b * a;
  }
  return sum;
}

}  // namespace

std::vector<double> MergeLora(const std::vector<double>& w, int64_t rows, int64_t columns,
                              const LowRank& update) {
  std::vector<double> merged(w.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const size_t i = static_cast<size_t>(r * columns + c);
      merged[i] = w[i] + update.scale * Element(update, r, c, rows, columns, false);
    }
  }
  return merged;
}

std::vector<double> MergeDora(const std::vector<double>& w, int64_t rows, int64_t columns,
                              const LowRank& update, const std::vector<double>& magnitude) {
  std::vector<double> merged = MergeLora(w, rows, columns, update);
  const bool by_row = update.orientation == Orientation::kStraight;
  for (size_t out = 0; out < magnitude.size(); ++out) {
    double squares = 0;
    const int64_t inputs = by_row ? columns : rows;
    const auto at = [&](int64_t in) {
      return static_cast<size_t>(by_row ? static_cast<int64_t>(out) * columns + in
                                        : in * columns + static_cast<int64_t>(out));
    };
    for (int64_t in = 0; in < inputs; ++in) squares += merged[at(in)] * merged[at(in)];
    for (int64_t in = 0; in < inputs; ++in) merged[at(in)] *= magnitude[out] / std::sqrt(squares);
  }
  return merged;
}

std::vector<double> TermSizes(int64_t rows, int64_t columns, const LowRank& update) {
  std::vector<double> sizes(static_cast<size_t>(rows * columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      sizes[static_cast<size_t>(r * columns + c)] =
          std::fabs(update.scale) * Element(update, r, c, rows, columns, true);
    }
  }
  return sizes;
}

}  // namespace graft::reference
