// SPDX-License-Identifier: Apache-2.0
// One function for each block type of GGUF files: from the bytes of a block to its numbers.
#pragma once

#include <cstdint>

namespace graft::converter {

/// Each takes the bytes of one block and writes all its elements. Products and sums are rounded to
/// float32 one after another in the order of the reference implementation.
/// Source   ggml-quants.c of llama.cpp, and gguf-py's quants for the order of rounding.
void DecodeQ4_0(const uint8_t* block, float* out);
void DecodeQ4_1(const uint8_t* block, float* out);
void DecodeQ5_0(const uint8_t* block, float* out);
void DecodeQ5_1(const uint8_t* block, float* out);
void DecodeQ8_0(const uint8_t* block, float* out);
void DecodeIq4Nl(const uint8_t* block, float* out);
void DecodeMxfp4(const uint8_t* block, float* out);
void DecodeNvfp4(const uint8_t* block, float* out);
/// Super-blocks of 256, with scales of scales.
void DecodeQ2K(const uint8_t* block, float* out);
void DecodeQ3K(const uint8_t* block, float* out);
void DecodeQ4K(const uint8_t* block, float* out);
void DecodeQ5K(const uint8_t* block, float* out);
void DecodeQ6K(const uint8_t* block, float* out);
void DecodeIq4Xs(const uint8_t* block, float* out);
/// Ternary numbers.
void DecodeTq1_0(const uint8_t* block, float* out);
void DecodeTq2_0(const uint8_t* block, float* out);

}  // namespace graft::converter
