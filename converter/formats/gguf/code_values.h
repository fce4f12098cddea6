// SPDX-License-Identifier: Apache-2.0
// What the codes of the non-linear 4-bit types stand for.
#pragma once

#include <cstdint>

namespace graft::converter {

/// IQ4_NL and IQ4_XS.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// Twice the values of 4-bit floating-point numbers (one sign, two exponent and one mantissa bit).
/// Source   OCP Microscaling Formats (MX) 1.0.
inline constexpr int8_t kFp4DoubledValues[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace graft::converter
