// SPDX-License-Identifier: Apache-2.0
// Inputs of linear ops as the device rounds them before it multiplies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace graft::converter {

/// Rounds a row to 8 bits: number i becomes codes[i] * *scale. Codes are -128 to 127 less a zero
/// point, from the smallest to the largest number of the row, 0 among them.
/// Source    XNNPACK's qd8 conversion.
/// Returns   whether all numbers are finite; if not, all codes are 0.
bool RoundInputRow(std::span<const float> row, int16_t* codes, float* scale);

/// The same, in place, of rows of `width` numbers.
/// Returns   whether all numbers are finite.
bool RoundInputs(std::span<float> rows, size_t width);

}  // namespace graft::converter
