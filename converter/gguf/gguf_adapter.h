// SPDX-License-Identifier: Apache-2.0
// A LoRA in a GGUF file (general.type "adapter"), as PEFT would have it.
#pragma once

#include <filesystem>
#include <memory>

#include "converter/tensors/weight_file.h"
#include "schema/result.h"

namespace graft::converter {

/// The tensors of the file at `path` under PEFT's names, and its alpha as metadata ("alpha"). Rows
/// of queries and keys are put back in the model's order, for which the number of heads is taken from
/// config.json in `base`.
/// Errors   those of GgufFile::Open;
///          kUnsupported: no LoRA, a tensor that is neither of its two factors, a family that is not
///          known, a base whose number of heads is needed and not known;
///          kCorrupt: factors that do not fit the heads.
Result<std::unique_ptr<WeightFile>> OpenGgufAdapter(const std::filesystem::path& path,
                                                    const std::filesystem::path& base);

}  // namespace graft::converter
