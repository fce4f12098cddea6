// SPDX-License-Identifier: Apache-2.0
// The files of a checkpoint that are not weights: carried over to a merged one, with config.json
// brought up to date.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/checkpoint/config_changes.h"
#include "schema/status.h"

namespace graft::converter {

/// Copies the regular files directly in `from` to `to`, except weights in any format, their
/// indexes, documentation and files of the names in `except`. config.json is copied as it is unless
/// `changes` asks for something.
/// Errors   kIo, kCorrupt, naming the file.
Status CarryOverFiles(const std::filesystem::path& from, const std::filesystem::path& to,
                      const ConfigChanges& changes, const std::set<std::string>& except = {});

/// Copies one file over what is there.
Status CarryOverFile(const std::filesystem::path& from, const std::filesystem::path& to);
/// Copies a folder whole, weights included, down to 8 levels; nothing if there is none.
Status CarryOverFolder(const std::filesystem::path& from, const std::filesystem::path& to);
Status WriteSmallFile(const std::filesystem::path& file, std::string_view text);

/// Writes model.safetensors.index.json: `shard_of` pairs tensors with file names.
Status WriteShardIndex(const std::filesystem::path& file,
                       std::vector<std::pair<std::string, std::string>> shard_of,
                       uint64_t total_bytes, uint64_t total_elements);

}  // namespace graft::converter
