// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/key_values.h"

#include "schema/generated/model_generated.h"

namespace graft::runtime {

void KeyValues::Read(const StepSource& source, const schema::fb::Attention& attention) {
  block = attention.block();
  cached = attention.kv_cache() >= 0;
  if (cached) {
    view = source.caches[static_cast<size_t>(attention.kv_cache())];
  } else {
    view.kv_heads = attention.kv_heads();
    view.head_dim = attention.head_dim();
  }
}

}  // namespace graft::runtime
