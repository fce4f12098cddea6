// SPDX-License-Identifier: Apache-2.0
// What a merged checkpoint holds besides weights: the base's files, and an adapter's own in their
// place.
#pragma once

#include <filesystem>
#include <optional>

#include "converter/merge/merged_source.h"
#include "schema/status.h"

namespace graft::converter {

/// Writes them into `to`. `base` is the base's folder. A part that an adapter brings comes from its
/// folder whole, and nothing of the base's is left beside it. config.json and
/// generation_config.json are adjusted where the merge changes what they say; dtype as in
/// MergeRequest.
/// Errors   kIo, kCorrupt, naming the file.
Status WriteMergedFiles(const MergedSource& merged, const std::filesystem::path& base,
                        std::optional<DType> dtype, const std::filesystem::path& to);

}  // namespace graft::converter
