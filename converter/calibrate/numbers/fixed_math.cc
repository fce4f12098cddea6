// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/numbers/fixed_math.h"

#include <bit>
#include <cmath>
#include <cstdint>

namespace graft::converter {
namespace {

/// 2^exponent of a normal number.
double PowerOfTwo(int64_t exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52);
}

}  // namespace

double FixedExp(double x) {
  if (!(x > -708.0)) return x != x ? x : 0.0;
  if (x > 709.0) x = 709.0;
  const double n = (x * kExp.log2e + kExp.shift) - kExp.shift;
  const double r = (x - n * kExp.log2_high) - n * kExp.log2_low;
  double sum = kExp.terms[kExp.kTerms - 1];
  for (size_t i = kExp.kTerms - 1; i-- > 0;) sum = sum * r + kExp.terms[i];
  return sum * PowerOfTwo(static_cast<int64_t>(n));
}

double FixedLog(double x) {
  // x = 2^n m with m in [sqrt(1/2), sqrt(2)); log(m) = 2 atanh((m - 1) / (m + 1)).
  const auto bits = std::bit_cast<uint64_t>(x);
  auto n = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFF) | (uint64_t{1023} << 52));
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    ++n;
  }
  const double t = (m - 1) / (m + 1);
  const double square = t * t;
  double sum = 0.0;
  for (int i = 23; i > 0; i -= 2) sum = sum * square + 1.0 / i;
  return static_cast<double>(n) * 0x1.62e42fefa39efp-1 + 2 * t * sum;
}

double FixedTanh(double x) {
  const double size = std::fabs(x);
  if (size < 0x1p-14) return x;  // the next term is x^3 / 3
  const double value = size > 20 ? 1.0 : 1.0 - 2.0 / (FixedExp(2 * size) + 1.0);
  return std::copysign(value, x);
}

double FixedErf(double x) {
  // 2 / sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (1 3 5 ... (2n+1)): all terms of one sign.
  const double size = std::fabs(x);
  if (x != x) return x;
  if (size > 6) return std::copysign(1.0, x);
  const double square = size * size;
  double term = size, sum = size;
  for (int n = 1; term > sum * 0x1p-54; ++n) {
    term *= 2 * square / (2 * n + 1);
    sum += term;
  }
  const double value = 0x1.20dd750429b6dp+0 * FixedExp(-square) * sum;
  return std::copysign(value > 1.0 ? 1.0 : value, x);
}

void FixedSinCos(double x, double* sine, double* cosine) {
  // x = k pi / 2 + r with |r| <= pi / 4; pi / 2 in parts of 33 bits, whose multiples are exact.
  constexpr double kFirst = 0x1.921fb54400000p+0, kSecond = 0x1.0b4611a600000p-34,
                   kThird = 0x1.3198a2e037073p-69;
  const double k = std::nearbyint(x * 0x1.45f306dc9c883p-1);
  const double r = ((x - k * kFirst) - k * kSecond) - k * kThird;
  const double square = r * r;
  double s = 1.0, c = 1.0;
  for (int i = 16; i > 0; i -= 2) {
    s = 1.0 - square / (i * (i + 1)) * s;
    c = 1.0 - square / (i * (i - 1)) * c;
  }
  s *= r;
  switch (static_cast<int64_t>(k) & 3) {
    case 0:
      *sine = s, *cosine = c;
      return;
    case 1:
      *sine = c, *cosine = -s;
      return;
    case 2:
      *sine = -s, *cosine = -c;
      return;
    default:
      *sine = -c, *cosine = s;
  }
}

}  // namespace graft::converter
