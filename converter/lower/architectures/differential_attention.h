// SPDX-License-Identifier: Apache-2.0
// Attention that subtracts a second one from a first, as DiffLlama has it.
#pragma once

#include "converter/lower/architectures/gated_layer.h"

namespace graft::converter {

/// What goes into the output matrix.
/// Requires an even number of heads.
/// Source   Ye et al. 2024, "Differential Transformer".
ValueId DifferentialAttention(const GatedDecoder& decoder, const Module& module, int64_t layer,
                              ValueId x, const LayerInputs& inputs);

}  // namespace graft::converter
