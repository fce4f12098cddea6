// SPDX-License-Identifier: Apache-2.0
// Everything works on rows that lie one after another, and in one order.
#include "converter/merge/updates/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace graft::converter {
namespace {

double Length(double a, double b) {
  const double larger = std::max(std::fabs(a), std::fabs(b));
  const double smaller = std::min(std::fabs(a), std::fabs(b));
  if (larger == 0) return 0;
  const double ratio = smaller / larger;
  return larger * std::sqrt(1 + ratio * ratio);
}

struct Tridiagonal {
  std::vector<double> diagonal;
  std::vector<double> beside;   // [k] stands between rows k and k + 1; the last is 0
  std::vector<double> vectors;  // row by row: Q transposed
};

// Clears column k below the place beside the diagonal. Keeps the reflection's vector in row k of
// `matrix`, right of the diagonal, and gives its factor.
double ReflectColumn(size_t k, size_t n, std::vector<double>* matrix, double* beside) {
  std::vector<double>& a = *matrix;
  double below = 0;
  for (size_t i = k + 2; i < n; ++i) below += a[i * n + k] * a[i * n + k];
  const double head = a[(k + 1) * n + k];
  *beside = head;
  if (below == 0) return 0;
  *beside = -std::copysign(std::sqrt(head * head + below), head);
  const double factor = (*beside - head) / *beside;
  std::vector<double> v(n, 0.0);
  v[k + 1] = 1;
  for (size_t i = k + 2; i < n; ++i) v[i] = a[i * n + k] / (head - *beside);
  // A - v w^T - w v^T for w = p - (factor / 2) (p v) v and p = factor A v.
  std::vector<double> w(n, 0.0);
  double along = 0;
  for (size_t i = k + 1; i < n; ++i) {
    double sum = 0;
    for (size_t j = k + 1; j < n; ++j) sum += a[i * n + j] * v[j];
    w[i] = factor * sum;
    along += w[i] * v[i];
  }
  for (size_t i = k + 1; i < n; ++i) w[i] -= factor / 2 * along * v[i];
  for (size_t i = k + 1; i < n; ++i) {
    for (size_t j = k + 1; j < n; ++j) a[i * n + j] -= v[i] * w[j] + w[i] * v[j];
  }
  std::copy(v.begin() + static_cast<std::ptrdiff_t>(k + 1), v.end(),
            a.begin() + static_cast<std::ptrdiff_t>(k * n + k + 1));
  return factor;
}

Tridiagonal MakeTridiagonal(std::vector<double> a, size_t n) {
  Tridiagonal result;
  result.diagonal.assign(n, 0.0);
  result.beside.assign(n, 0.0);
  std::vector<double> factors(n, 0.0);
  for (size_t k = 0; k + 1 < n; ++k) {
    factors[k] = ReflectColumn(k, n, &a, &result.beside[k]);
  }
  for (size_t k = 0; k < n; ++k) result.diagonal[k] = a[k * n + k];
  // Q is the product of the reflections. Its transpose is built row by row, from the last one on.
  std::vector<double>& q = result.vectors;
  q.assign(n * n, 0.0);
  for (size_t i = 0; i < n; ++i) q[i * n + i] = 1;
  for (size_t k = n; k-- > 0;) {
    if (factors[k] == 0) continue;
    const double* v = a.data() + k * n;
    for (size_t row = k + 1; row < n; ++row) {
      double sum = 0;
      for (size_t j = k + 1; j < n; ++j) sum += q[row * n + j] * v[j];
      for (size_t j = k + 1; j < n; ++j) q[row * n + j] -= factors[k] * sum * v[j];
    }
  }
  return result;
}

// One implicit QL step between rows `low` and `high`.
void Step(size_t low, size_t high, Tridiagonal* matrix) {
  std::vector<double>& d = matrix->diagonal;
  std::vector<double>& e = matrix->beside;
  const size_t n = d.size();
  double g = (d[low + 1] - d[low]) / (2 * e[low]);
  double r = Length(g, 1);
  g = d[high] - d[low] + e[low] / (g + std::copysign(r, g));
  double sine = 1;
  double cosine = 1;
  double shift = 0;
  for (size_t i = high; i-- > low;) {
    const double f = sine * e[i];
    const double b = cosine * e[i];
    r = Length(f, g);
    e[i + 1] = r;
    if (r == 0) {
      d[i + 1] -= shift;
      e[high] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = d[i + 1] - shift;
    r = (d[i] - g) * sine + 2 * cosine * b;
    shift = sine * r;
    d[i + 1] = g + shift;
    g = cosine * r - b;
    double* one = matrix->vectors.data() + i * n;
    double* next = one + n;
    for (size_t k = 0; k < n; ++k) {
      const double before = next[k];
      next[k] = sine * one[k] + cosine * before;
      one[k] = cosine * one[k] - sine * before;
    }
  }
  d[low] -= shift;
  e[low] = g;
  e[high] = 0;
}

}  // namespace

Result<EigenPairs> EigenDecompose(std::vector<double> matrix, size_t side) {
  constexpr int kMostSteps = 200;
  Tridiagonal form = MakeTridiagonal(std::move(matrix), side);
  for (size_t low = 0; low < side; ++low) {
    for (int step = 0;; ++step) {
      size_t high = low;
      while (high + 1 < side) {
        const double sizes = std::fabs(form.diagonal[high]) + std::fabs(form.diagonal[high + 1]);
        if (std::fabs(form.beside[high]) <= 0x1p-53 * sizes) break;
        ++high;
      }
      if (high == low) break;
      if (step == kMostSteps) {
        return Error(StatusCode::kInternal, "an eigenvalue of %zu does not converge", side);
      }
      Step(low, high, &form);
    }
  }
  std::vector<size_t> order(side);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return form.diagonal[a] > form.diagonal[b]; });
  EigenPairs pairs;
  pairs.vectors.reserve(side * side);
  for (const size_t index : order) {
    pairs.values.push_back(form.diagonal[index]);
    const double* vector = form.vectors.data() + index * side;
    pairs.vectors.insert(pairs.vectors.end(), vector, vector + side);
  }
  return pairs;
}

}  // namespace graft::converter
