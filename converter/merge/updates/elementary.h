// SPDX-License-Identifier: Apache-2.0
// Elementary functions that have the same bits on every machine. Those of a C library differ in the
// last bit from one release and CPU to the next.
#pragma once

#include <cstdint>

namespace graft::converter {

struct SineAndCosine {
  double sine;
  double cosine;
};

// Each within a few units of the last place.

/// Requires |x| < 2^30.
SineAndCosine SinCos(double x);
/// Of the angle numerator / denominator times a whole turn.
/// Requires 0 <= numerator < denominator < 2^60.
SineAndCosine SinCosOfTurn(uint64_t numerator, uint64_t denominator);
double Exp(double x);
/// Requires x > 0 and normal.
double Log(double x);
double Tanh(double x);
double Erf(double x);

}  // namespace graft::converter
