// SPDX-License-Identifier: Apache-2.0
// Rounds rows of weights so that their errors cancel in the layer's output.
#pragma once

#include <cstdint>
#include <span>

#include "converter/calibrate/hessian.h"
#include "converter/quantize/stored_format.h"
#include "schema/result.h"

namespace graft::converter {

/// Encodes rows as EncodeRows does, but for the errors that `hessian` weighs. Scales are chosen
/// before; then the columns are rounded one after another, and each error is made up for in the
/// columns that follow. Of two tries, with scales of the weights alone and with scales weighed by
/// the Hessian's diagonal, each row takes the one that costs less; if both cost more than plain
/// rounding, it is rounded plainly.
/// Source   GPTQ (Frantar et al. 2022), section 3.
/// Shapes   as EncodeRows: numbers [rows, hessian.width].
/// Requires a quantized format that fits the width.
/// Errors   those of EncodeRows.
Status RoundRows(const Hessian& hessian, const StoredFormat& format,
                 std::span<const double> numbers, uint8_t* data, uint8_t* scales,
                 std::span<double> stored);

/// Rounds rows of a linear op's input to 8 bits as the device does before it multiplies: codes of
/// -128 to 127 and a zero point, from the smallest to the largest number of the row, 0 among them.
/// Source   XNNPACK's qd8 conversion.
void RoundInputs(std::span<float> rows, size_t width);

}  // namespace graft::converter
