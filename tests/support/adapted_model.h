// SPDX-License-Identifier: Apache-2.0
// A tiny Llama, what an adapter might have made of it, and the pack between the two.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/model_builder.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {

/// How many adapters there are, each of which changes other codes and scales of the same matrices.
inline constexpr unsigned kAdapters = 2;

struct AdaptedModel {
  explicit AdaptedModel(fb::TensorFormat format, unsigned adapter = 0);

  TinyLlama base;
  AlignedBytes file;                     // the adapted one
  std::vector<uint8_t> pack;             // from base to file
  std::vector<uint8_t> pack_of_numbers;  // the same, told in the units that numbers are stored in
};

}  // namespace graft::test
