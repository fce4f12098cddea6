// SPDX-License-Identifier: Apache-2.0
// OpenWeightFile: which reader a file of weights gets.
#pragma once

#include <filesystem>
#include <memory>

#include "converter/tensors/weight_file.h"
#include "schema/result.h"

namespace graft::converter {

/// Opens a file by its ending: .bin, .pt and .pth are PyTorch's (TorchFile), all others
/// safetensors.
/// Errors   those of TorchFile::Open and SafetensorsFile::Open.
Result<std::unique_ptr<WeightFile>> OpenWeightFile(const std::filesystem::path& path);

}  // namespace graft::converter
