// SPDX-License-Identifier: Apache-2.0
// Arguments are brought into a small range, where a power series ends soon. Only operations that
// IEEE 754 rounds correctly take part.
#include "converter/merge/updates/elementary.h"

#include <cmath>
#include <numbers>

namespace graft::converter {
namespace {

// For |x| <= pi / 4.
SineAndCosine Series(double x) {
  const double square = x * x;
  double sine = 0;
  double cosine = 0;
  // Horner's scheme of x - x^3/3! + ... and 1 - x^2/2! + ..., to x^21 and x^20.
  for (int n = 10; n >= 1; --n) {
    sine = (1 + sine) * (-square / ((2.0 * n) * (2.0 * n + 1)));
    cosine = (1 + cosine) * (-square / ((2.0 * n - 1) * (2.0 * n)));
  }
  return {x + x * sine, 1 + cosine};
}

// Of an angle that lies `quarter` quarters of a turn further.
SineAndCosine Turned(SineAndCosine at, uint64_t quarter) {
  switch (quarter % 4) {
    case 0:
      return at;
    case 1:
      return {at.cosine, -at.sine};
    case 2:
      return {-at.sine, -at.cosine};
    default:
      return {-at.cosine, at.sine};
  }
}

}  // namespace

SineAndCosine SinCos(double x) {
  // pi / 2 in parts whose products with 2^30 are exact.
  constexpr double kFirst = 0x1.921fb4p+0;
  constexpr double kSecond = 0x1.4442dp-24;
  constexpr double kThird = 0x1.8469898cc5170p-48;
  const double quarters = std::round(x * (2 / std::numbers::pi));
  const double rest = ((x - quarters * kFirst) - quarters * kSecond) - quarters * kThird;
  return Turned(Series(rest), static_cast<uint64_t>(static_cast<int64_t>(quarters)) & 3);
}

SineAndCosine SinCosOfTurn(uint64_t numerator, uint64_t denominator) {
  // The nearest quarter, and what is left in eighths of a turn at most.
  const uint64_t quarter = (8 * numerator + denominator) / (2 * denominator);
  const int64_t left =
      static_cast<int64_t>(4 * numerator) - static_cast<int64_t>(quarter * denominator);
  const double angle =
      static_cast<double>(left) / static_cast<double>(denominator) * (std::numbers::pi / 2);
  return Turned(Series(angle), quarter);
}

double Exp(double x) {
  if (std::isnan(x)) return x;
  if (x > 709.8) return HUGE_VAL;
  if (x < -746) return 0;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double power = std::round(x * std::numbers::log2e);
  const double rest = (x - power * kLn2High) - power * kLn2Low;
  double sum = 1;
  for (int n = 14; n >= 1; --n) sum = 1 + sum * (rest / n);
  return std::ldexp(sum, static_cast<int>(power));
}

double Log(double x) {
  int power = 0;
  double mantissa = std::frexp(x, &power);  // in [0.5, 1)
  if (mantissa < std::numbers::sqrt2 / 2) {
    mantissa *= 2;
    --power;
  }
  const double ratio = (mantissa - 1) / (mantissa + 1);
  const double square = ratio * ratio;
  double sum = 0;
  for (int n = 23; n >= 3; n -= 2) sum = (1.0 / n + sum) * square;
  return power * std::numbers::ln2 + 2 * (ratio + ratio * sum);
}

double Tanh(double x) {
  const double falling = Exp(-2 * std::fabs(x));
  return std::copysign((1 - falling) / (1 + falling), x);
}

double Erf(double x) {
  const double size = std::fabs(x);
  if (!(size < 6)) return std::isnan(x) ? x : std::copysign(1.0, x);
  // 2 / sqrt(pi) * e^(-x^2) * (x + 2 x^3 / 3 + 4 x^5 / (3 * 5) + ...): no term is negative.
  double term = size;
  double sum = size;
  for (int n = 1; n < 200 && term > sum * 0x1p-60; ++n) {
    term *= 2 * size * size / (2 * n + 1);
    sum += term;
  }
  return std::copysign(sum * Exp(-size * size) * (2 * std::numbers::inv_sqrtpi), x);
}

}  // namespace graft::converter
