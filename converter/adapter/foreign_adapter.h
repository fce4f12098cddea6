// SPDX-License-Identifier: Apache-2.0
// Adapters of programs whose files graft does not merge, told by their tensors' names.
#pragma once

#include <span>

#include "converter/tensors/weight_file.h"

namespace graft::converter {

/// "is torchtune's ...; ...": which program wrote these tensors and what to do; null if none that is
/// known here did.
const char* WhoseAdapter(std::span<const WeightFile::Entry> entries);

}  // namespace graft::converter
