// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "converter/base/parallel.h"
#include "converter/calibrate/products.h"

namespace graft::converter {
namespace {

constexpr double kDamping = 0.01;
constexpr size_t kColumnsTogether = 48;

/// Where row i of an upper triangle's matrix begins, and column j of it.
double* At(std::vector<double>& matrix, size_t width, size_t i, size_t j) {
  return matrix.data() + i * width + j;
}

/// Turns the upper triangle of H into V, from the last column to the first.
Status Factor(std::vector<double>& h, size_t width, int threads) {
  constexpr size_t kRowsEach = 64;
  for (size_t j = width; j-- > 0;) {
    double* row = At(h, width, j, j);
    const size_t behind = width - j - 1;
    const double square = row[0] - Dot(row + 1, row + 1, behind);
    if (!(square > 0) || !std::isfinite(square)) {
      return Error(StatusCode::kCorrupt, "the inputs of the layer are not finite");
    }
    row[0] = std::sqrt(square);
    const auto reduce = [&](int64_t task) {
      const size_t begin = static_cast<size_t>(task) * kRowsEach;
      for (size_t i = begin; i < std::min(begin + kRowsEach, j); ++i) {
        double* other = At(h, width, i, j);
        other[0] = (other[0] - Dot(other + 1, row + 1, behind)) / row[0];
      }
      return OkStatus();
    };
    const auto tasks = static_cast<int64_t>((j + kRowsEach - 1) / kRowsEach);
    // Threads are worth their start where there is much to do.
    const bool is_large = j * behind > 1'000'000;
    GRAFT_RETURN_IF_ERROR(ParallelFor(is_large ? threads : 1, tasks, reduce));
  }
  return OkStatus();
}

}  // namespace

Result<Hessian> MakeHessian(std::span<const float> x, size_t width, int threads) {
  std::vector<double> gram(width * width, 0.0);
  const auto tasks = static_cast<int64_t>((width + kColumnsTogether - 1) / kColumnsTogether);
  GRAFT_RETURN_IF_ERROR(ParallelFor(threads, tasks, [&](int64_t task) {
    const size_t begin = static_cast<size_t>(task) * kColumnsTogether;
    AddGram(x.data(), x.size() / width, width, begin, std::min(begin + kColumnsTogether, width),
            gram.data());
    return OkStatus();
  }));
  Hessian hessian;
  hessian.width = width;
  double sum = 0;
  for (size_t i = 0; i < width; ++i) {
    hessian.diagonal.push_back(gram[i * width + i]);
    sum += gram[i * width + i];
  }
  hessian.order.resize(width);
  std::iota(hessian.order.begin(), hessian.order.end(), 0u);
  std::stable_sort(hessian.order.begin(), hessian.order.end(), [&](uint32_t a, uint32_t b) {
    return hessian.diagonal[a] > hessian.diagonal[b];
  });
  const double damping = sum > 0 ? kDamping * sum / static_cast<double>(width) : 1.0;
  std::vector<double>& v = hessian.feedback;
  v.assign(width * width, 0.0);
  for (size_t i = 0; i < width; ++i) {
    for (size_t j = i; j < width; ++j) {
      const auto [low, high] = std::minmax(hessian.order[i], hessian.order[j]);
      v[i * width + j] = gram[size_t{low} * width + high] + (i == j ? damping : 0.0);
    }
  }
  gram = {};
  GRAFT_RETURN_IF_ERROR(Factor(v, width, threads));
  for (size_t i = 0; i < width; ++i) hessian.pivots.push_back(v[i * width + i]);
  for (size_t i = 0; i < width; ++i) {
    for (size_t j = i; j < width; ++j) v[i * width + j] /= hessian.pivots[j];
  }
  return hessian;
}

}  // namespace graft::converter
