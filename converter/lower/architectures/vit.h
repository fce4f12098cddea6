// SPDX-License-Identifier: Apache-2.0
// Vision transformers: an image cut into patches, each of them a row.
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// ViT.
/// Source   Dosovitskiy et al. 2020.
Status LowerVit(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// DeiT: a second row beside the class's, and with a teacher a head for each of the two, whose
/// scores are averaged.
/// Source   Touvron et al. 2020.
Status LowerDeit(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
