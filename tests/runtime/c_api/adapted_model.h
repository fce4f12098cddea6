// SPDX-License-Identifier: Apache-2.0
// A tiny Llama, what an adapter might have made of it, and the pack between the two.
#pragma once

#include <cstdint>
#include <vector>

#include <graft/graft.h>
#include "tests/support/model_builder.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {

struct AdaptedModel {
  explicit AdaptedModel(fb::TensorFormat format);

  TinyLlama base;
  AlignedBytes file;          // the adapted one
  std::vector<uint8_t> pack;  // from base to file
  graft_pack where() const;   // of the pack
};

}  // namespace graft::test
