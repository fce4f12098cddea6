// SPDX-License-Identifier: Apache-2.0
// The dense Qwen models.
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Llama with biases on query, key and value, and windows on some layers: Qwen 1.5, 2 and 2.5.
/// Source   Yang et al. 2024.
Status LowerQwen2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// Qwen2 without those biases, its query and key heads normalized.
/// Source   Yang et al. 2025.
Status LowerQwen3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
