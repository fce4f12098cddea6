// SPDX-License-Identifier: Apache-2.0
// The ops as loops in f64: slow, plain, and what the runtime answers to.
#pragma once

#include <cstddef>

#include "tests/support/graph_maker.h"

namespace graft::test {

Numbers ReferenceLinear(const Numbers& x, const Weight& weight, const Weight* bias);
/// With the activations as the int8 codes that quantized kernels see, and exact integer sums.
Numbers ReferenceQuantizedLinear(const Numbers& x, const Weight& weight, const Weight* bias);
Numbers ReferenceRmsNorm(const Numbers& x, const Numbers& weight, double epsilon);
Numbers ReferenceLayerNorm(const Numbers& x, const Numbers& weight, const Numbers* bias,
                           double epsilon);
Numbers ReferenceRope(const Numbers& x, const Numbers& inverse_frequencies, size_t head_dim,
                      size_t rotary_dim, bool interleaved, double magnitude,
                      size_t first_position = 0);
/// The rows before first_row are left zero.
Numbers ReferenceAttention(const Numbers& query, const Numbers& key, const Numbers& value,
                           const GraphMaker::AttentionOptions& options, size_t first_row = 0);
double ReferenceActivation(fb::ActivationKind kind, double x);

/// The largest absolute difference.
/// Requires equal shapes.
double LargestDifference(const Numbers& a, const Numbers& b);
double LargestMagnitude(const Numbers& a);

}  // namespace graft::test
