// SPDX-License-Identifier: Apache-2.0
// Llama and Mistral.
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Llama 1 to 3.x, SmolLM 1 and 2, and whatever else calls itself "llama".
/// Source   Touvron et al. 2023.
Status LowerLlama(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// Llama with a sliding attention window.
/// Source   Jiang et al. 2023.
Status LowerMistral(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
