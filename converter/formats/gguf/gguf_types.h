// SPDX-License-Identifier: Apache-2.0
// The element types of GGUF files: what a block of each takes, and the numbers that it stands for.
#pragma once

#include <cstdint>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// The most elements that a block of any type has.
inline constexpr int64_t kMaxGgufBlockElements = 256;

/// Writes a block's elements, in float32 as the reference implementation rounds them.
using GgufBlockDecoder = void (*)(const uint8_t* block, float* out);

struct GgufType {
  uint32_t number;         ///< As files have it.
  const char* name;        ///< As the ecosystem's tools print it.
  int64_t block_elements;  ///< 1 for plain numbers.
  int64_t block_bytes;
  GgufBlockDecoder decode;  ///< Null for plain numbers, and for a type that is known, but not read.
  DType plain;              ///< Of plain numbers; float32 of blocks.

  bool IsPlain() const { return block_elements == 1; }
  bool IsRead() const { return IsPlain() || decode != nullptr; }
};

/// Null if no type has that number.
const GgufType* FindGgufType(uint32_t number);

}  // namespace graft::converter
