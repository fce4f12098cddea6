// SPDX-License-Identifier: Apache-2.0
// Gemma 2 and the text models of Gemma 3.
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// Norms before and after each branch, soft caps on scores and logits, windows on every other
/// layer.
/// Source   Gemma Team 2024.
Status LowerGemma2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// Gemma 2 with normalized query and key heads instead of soft caps, windows on five layers of six,
/// and a rope of a shorter base on those.
/// Source   Gemma Team 2025.
Status LowerGemma3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
