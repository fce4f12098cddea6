// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Phi-3 and Phi-4-mini: Llama whose query, key and value lie in one matrix, gate and up in
/// another.
/// Source   Abdin et al. 2024.
Status LowerPhi3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
