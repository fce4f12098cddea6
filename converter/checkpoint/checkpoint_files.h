// SPDX-License-Identifier: Apache-2.0
// The files of a checkpoint that are not weights: carried over to a merged one, with config.json
// brought up to date.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "converter/checkpoint/config_changes.h"
#include "schema/status.h"

namespace graft::converter {

/// Copies the regular files directly in `from` to `to`, except weights in any format, their indexes
/// and documentation. config.json is copied as it is unless `changes` asks for something.
/// Errors   kIo, kCorrupt, naming the file.
Status CarryOverFiles(const std::filesystem::path& from, const std::filesystem::path& to,
                      const ConfigChanges& changes);

/// Copies the tokenizer's files, if `adapter` has any, over those in `to`.
Status CarryOverTokenizer(const std::filesystem::path& adapter, const std::filesystem::path& to);
/// Copies preprocessor_config.json likewise.
Status CarryOverImageProcessor(const std::filesystem::path& adapter,
                               const std::filesystem::path& to);

/// Writes model.safetensors.index.json: `shard_of` pairs tensors with file names.
Status WriteShardIndex(const std::filesystem::path& file,
                       std::vector<std::pair<std::string, std::string>> shard_of,
                       uint64_t total_bytes, uint64_t total_elements);

}  // namespace graft::converter
