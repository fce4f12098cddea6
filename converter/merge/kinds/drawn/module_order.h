// SPDX-License-Identifier: Apache-2.0
// The order in which a model's code makes its modules, which is in no file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

/// What stands between separators.
std::vector<std::string_view> SplitWords(std::string_view text, char separator);

/// `modules` in the order of PyTorch's named_modules. `names` are those of all of the model's
/// tensors: which modules stand side by side tells which code made them.
/// Errors   kUnsupported naming two modules whose order is not known.
/// Source   The classes of transformers 5.24 and, where they differ, 4.
Result<std::vector<std::string>> InOrderOfModel(std::span<const std::string> modules,
                                                std::span<const std::string> names);

}  // namespace graft::converter
