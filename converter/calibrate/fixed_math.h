// SPDX-License-Identifier: Apache-2.0
// Functions whose results are the same bits on every CPU: what a C library gives for them depends on
// its build and on the CPU's instructions, and a calibrated file must not.
#pragma once

namespace graft::converter {

// Within some units in the last place of binary64. Made of additions, multiplications and divisions
// in an order that the source fixes; nothing is contracted (-ffp-contract=off).

double FixedExp(double x);  ///< 0 below -708, the largest finite power above 709
double FixedLog(double x);  ///< Requires x positive, finite and normal.
double FixedTanh(double x);
double FixedErf(double x);
/// Requires |x| below 2^20 turns or so: positions times frequencies of rope are.
void FixedSinCos(double x, double* sine, double* cosine);

}  // namespace graft::converter
