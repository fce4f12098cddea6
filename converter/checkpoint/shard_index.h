// SPDX-License-Identifier: Apache-2.0
// OpenShards: the files that an index names.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "converter/tensors/weight_file.h"
#include "schema/result.h"

namespace graft::converter {

/// Whether a file's name is that of an index, "model.safetensors.index.json" or
/// "adapter_model.bin.index.json".
bool IsShardIndex(std::string_view file_name);

/// Opens the shards that `index` names, in name order, all of them in its own folder.
/// Errors   kNotFound: no such index, a missing shard.
///          kCorrupt: a name that leads out of the folder, a tensor that its shard does not hold;
///          any fault of a file.
Result<std::vector<std::unique_ptr<WeightFile>>> OpenShards(const std::filesystem::path& index);

}  // namespace graft::converter
