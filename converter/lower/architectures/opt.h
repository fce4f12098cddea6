// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// OPT: learned positions that start at row 2, ReLU, norms before or (350m) after each branch.
/// Source   Zhang et al. 2022.
Status LowerOpt(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
