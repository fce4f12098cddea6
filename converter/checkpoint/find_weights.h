// SPDX-License-Identifier: Apache-2.0
// FindWeights: which file of a folder holds the model, or names the files that do.
#pragma once

#include <filesystem>

#include "schema/result.h"

namespace graft::converter {

struct WeightsFound {
  std::filesystem::path file;
  bool is_index = false;
};

/// In this order: model.safetensors, model.safetensors.index.json, a single file of either ending
/// under another name, pytorch_model.bin, pytorch_model.bin.index.json, a single GGUF model (which may
/// be split).
/// Errors   kNotFound: none of these, or several; a link to a file that is missing.
///          kUnsupported: files of another program's alone. Messages say what lies there instead.
Result<WeightsFound> FindWeights(const std::filesystem::path& folder);

}  // namespace graft::converter
