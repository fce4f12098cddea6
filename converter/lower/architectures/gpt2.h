// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// GPT-2: learned positions, LayerNorm, weights stored [in_features, out_features].
/// Source   Radford et al. 2019.
Status LowerGpt2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
