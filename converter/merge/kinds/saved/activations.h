// SPDX-License-Identifier: Apache-2.0
// The activations that transformers has names for, in float64 and with the same bits everywhere.
#pragma once

#include <string_view>

namespace graft::converter {

using Activation = double (*)(double);

/// The activation that transformers' ACT2FN calls `name`, as it is before any training; null if
/// there is none.
Activation FindActivation(std::string_view name);

}  // namespace graft::converter
