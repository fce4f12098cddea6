// SPDX-License-Identifier: Apache-2.0
// The rules a graph must keep: operands defined before use, shapes that fit each op, states used
// once.
#pragma once

#include <cstdint>

#include "schema/result.h"

namespace graft::schema {

namespace fb {
struct Model;
}  // namespace fb

struct GraphFacts {
  uint64_t vocabulary = 0;  ///< token ids are below this; 0: no op looks up token ids
  uint64_t positions = 0;   ///< so are positions below this; 0: no op looks up positions
};

/// Checks graph and task of a model whose FlatBuffer and tensors are already valid.
/// Errors   kCorrupt, kUnsupported; each names the value or op.
/// Cost     linear in the graph; allocates a few bytes for each value.
Result<GraphFacts> CheckGraph(const fb::Model& model);

}  // namespace graft::schema
