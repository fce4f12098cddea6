// SPDX-License-Identifier: Apache-2.0
// FindLowering: which lowering follows which model_type.
#pragma once

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

/// The lowering for a model_type of config.json.
/// Errors   kUnsupported, naming the value and what there is.
Result<LowerFunction> FindLowering(const JsonValue& config);

}  // namespace graft::converter
