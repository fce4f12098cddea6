// SPDX-License-Identifier: Apache-2.0
// Packs rows of a stored matrix for the kernels of this CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/embedding.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/status.h"

namespace graft::runtime {

/// Packs `matrix`, output rows [begin, end) of a weight, into the bytes of their PackedRange, which
/// start at `packed`. bias [end - begin] or null. f16 and bf16 become f32.
/// Errors   kUnsupported, kOutOfMemory, kCorrupt (a scale that is not positive and normal), naming
///          the tensor.
Status PackRows(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
                const float* bias, size_t begin, size_t end, uint8_t* packed);

}  // namespace graft::runtime
