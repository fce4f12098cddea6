// SPDX-License-Identifier: Apache-2.0
// The rules a task must keep: outputs of the shape that it promises, labels and an image's
// preparation that fit them.
#pragma once

#include "schema/result.h"
#include "schema/verify_graph.h"

namespace graft::schema {

/// The longest prompt of a task.
inline constexpr uint32_t kMaxPromptBytes = 1 << 16;

/// Checks the task of a model whose graph has been checked; `facts` are what that gave.
/// Errors   kCorrupt, kUnsupported; each says what the task needs.
Status CheckTask(const fb::Model& model, const GraphFacts& facts);

}  // namespace graft::schema
