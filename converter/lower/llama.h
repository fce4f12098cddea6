// SPDX-License-Identifier: Apache-2.0
// The Llama family: pre-norm decoders with rotary positions, grouped-query attention and a gated
// MLP.
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Llama 1 to 3.x, SmolLM and whatever else calls itself "llama". Source   Touvron et al. 2023.
Status LowerLlama(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// Llama with a sliding attention window. Source   Jiang et al. 2023.
Status LowerMistral(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// Llama with biases on query, key and value, and windows on some layers. Source   Yang et al.
/// 2024.
Status LowerQwen2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
