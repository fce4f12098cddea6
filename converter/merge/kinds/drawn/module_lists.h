// SPDX-License-Identifier: Apache-2.0
// Which modules the classes of transformers make side by side, and in what order.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace graft::converter {

using ModuleList = std::vector<std::string_view>;

/// Of each parent whose modules have parameters: their names, in the order of its code. Those of all
/// causal language models of transformers 5.24, and of its encoders.
std::span<const ModuleList> ModuleLists();

}  // namespace graft::converter
