// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Llama of which every fourth layer does not rotate (NoPE).
/// Source   the SmolLM3 release, 2025; Yang et al. 2025 (RoPE to NoPE).
Status LowerSmolLm3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
