// SPDX-License-Identifier: Apache-2.0
// What a description of layers says about the task they are for, and about the images they take.
#pragma once

#include "converter/lower/layer_stack/layer_stack.h"

namespace graft::converter {

/// Reads "task", "labels", "scores" and "image" of a description whose input is known.
/// Errors   kCorrupt, kUnsupported: what is unknown, contradictory or does not fit the input.
Status ReadStackTask(const JsonValue& description, LayerStack* stack);

}  // namespace graft::converter
