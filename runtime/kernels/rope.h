// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: sine and cosine for each position once, then any number of rows turned
// by them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::runtime {

/// Fills cosines and sines [half] for one position: of position * inverse_frequencies[i], times
/// magnitude. The angle is an f32 product, as in the frameworks the models were trained in; its
/// sine and cosine are taken in f64.
void RopeAngles(int32_t position, const float* inverse_frequencies, size_t half, float magnitude,
                float* cosines, float* sines);

/// The same, of numbers[axes[i]] * inverse_frequencies[i].
void RopeAnglesByAxis(const int32_t* numbers, const uint8_t* axes, const float* inverse_frequencies,
                      size_t half, float magnitude, float* cosines, float* sines);

/// Rotates the first 2 * half elements of each head of a row; copies the rest. Element i pairs with
/// i + half, or with its neighbour if `interleaved`. x and y [heads * head_dim], not overlapping.
/// Source   Su et al. 2021, "RoFormer", section 3.4.2.
void RopeRow(const float* x, size_t heads, size_t head_dim, size_t half, bool interleaved,
             const float* cosines, const float* sines, float* y);

}  // namespace graft::runtime
