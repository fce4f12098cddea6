// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Llama with factors on embeddings, attention scores, residual branches and logits.
/// Source   the Granite 3.0 report, 2024.
Status LowerGranite(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
