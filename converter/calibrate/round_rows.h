// SPDX-License-Identifier: Apache-2.0
// Rounds rows of weights so that their errors cancel in the layer's output.
#pragma once

#include <cstdint>
#include <span>

#include "converter/calibrate/hessian.h"
#include "converter/quantize/stored_format.h"
#include "schema/result.h"

namespace graft::converter {

/// Encodes rows as EncodeRows does, but for the errors that `hessian` weighs: scales are chosen with
/// its diagonal, columns are rounded one after another, and each error is made up for in the columns
/// that follow. Then, block by block, scales are fitted to the codes and codes to the scales, given
/// all others, as long as that costs less. A row for which plain rounding costs less is left so.
/// Source   GPTQ (Frantar et al. 2022), section 3; the descent is that of QuantEase (Behdin et al.
///          2023), with scales.
/// Shapes   as EncodeRows: numbers [rows, hessian.width].
/// Requires a quantized format that fits the width.
/// Cost     5 rows * width^2 multiply-adds, with a scale for a whole row four times that.
/// Errors   those of EncodeRows.
Status RoundRows(const Hessian& hessian, const StoredFormat& format,
                 std::span<const double> numbers, uint8_t* data, uint8_t* scales,
                 std::span<double> stored);

}  // namespace graft::converter
