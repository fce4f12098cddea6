// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// GPT-NeoX and Pythia: attention and MLP beside each other, a quarter of each head rotated, query,
/// key and value of a head next to each other in one matrix.
/// Source   Black et al. 2022; Biderman et al. 2023.
Status LowerGptNeoX(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
