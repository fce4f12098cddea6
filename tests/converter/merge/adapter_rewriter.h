// SPDX-License-Identifier: Apache-2.0
// A PEFT adapter's tensors as other programs would have written them.
#pragma once

#include <filesystem>
#include <string_view>

#include "tests/support/small_files.h"

namespace graft::converter {

/// All tensors of a weight file.
SmallTensors StoredTensors(const std::filesystem::path& file);

/// mlx-lm's names and order: A as [in_features, rank], B as [rank, out_features].
SmallTensors AsMlx(const SmallTensors& peft);

/// kohya's names, `prefix` and the module with underscores, and an alpha for each module.
SmallTensors AsKohya(const SmallTensors& peft, std::string_view prefix, double alpha);

/// Columns for rows of a matrix.
SmallTensor Transposed(const SmallTensor& matrix);

/// The one file of weights that merging `adapter` into the base at `base` writes.
std::string MergedBytes(const std::filesystem::path& base, const std::filesystem::path& adapter);

}  // namespace graft::converter
