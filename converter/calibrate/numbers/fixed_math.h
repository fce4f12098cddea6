// SPDX-License-Identifier: Apache-2.0
// Functions whose results are the same bits on every CPU: what a C library gives for them depends on
// its build and on the CPU's instructions, and a calibrated file must not.
#pragma once

#include <cstddef>

namespace graft::converter {

// Within some units in the last place of binary64. Made of additions, multiplications and divisions
// in an order that the source fixes; nothing is contracted (-ffp-contract=off).

/// exp(x) = 2^n sum of terms[i] r^i, with n = x log2(e) to the nearest integer and r = x - n log(2).
struct ExpConstants {
  static constexpr size_t kTerms = 14;
  double log2e = 0x1.71547652b82fep+0;
  double shift = 0x1.8p52;  ///< Added and taken away again: what is left of a number is whole.
  /// log(2) in two parts, the first of which times n is exact.
  double log2_high = 0x1.62e42fee00000p-1, log2_low = 0x1.a39ef35793c76p-33;
  double terms[kTerms] = {1.0,
                          1.0,
                          1.0 / 2,
                          1.0 / 6,
                          1.0 / 24,
                          1.0 / 120,
                          1.0 / 720,
                          1.0 / 5040,
                          1.0 / 40320,
                          1.0 / 362880,
                          1.0 / 3628800,
                          1.0 / 39916800,
                          1.0 / 479001600,
                          1.0 / 6227020800.0};
};
inline constexpr ExpConstants kExp;

double FixedExp(double x);  ///< 0 below -708, the largest finite power above 709
double FixedLog(double x);  ///< Requires x positive, finite and normal.
double FixedTanh(double x);
double FixedErf(double x);
/// Requires |x| below 2^20 turns or so: positions times frequencies of rope are.
void FixedSinCos(double x, double* sine, double* cosine);

}  // namespace graft::converter
