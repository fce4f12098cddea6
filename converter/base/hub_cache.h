// SPDX-License-Identifier: Apache-2.0
// Models and adapters by their names on the hub, where the hub's own tools have put them. Nothing is
// downloaded.
#pragma once

#include <filesystem>
#include <string>

#include "schema/result.h"

namespace graft::converter {

/// The folder that huggingface_hub keeps repositories in: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
/// HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub, the first that is set.
/// Thread   reads the environment.
std::filesystem::path HubCacheFolder();

/// The folder or file that `path` means. A repository's folder in the cache ("models--org--name")
/// means the snapshot that its refs/main names, or its only one. A name on the hub ("org/name") that
/// is no folder means its repository in `cache`. All else is given back as it is.
/// Errors   kNotFound: a repository without a snapshot, a name that is not in the cache.
///          kMismatch: several snapshots, and no refs/main; the message lists them.
Result<std::filesystem::path> ResolveHubPath(const std::filesystem::path& path,
                                             const std::filesystem::path& cache);

/// "org/name" of a repository's snapshot in the cache; empty: `folder` is none.
std::string HubName(const std::filesystem::path& folder);

/// What reports call a model or adapter: its folder's last part, or, of a snapshot in the cache, the
/// repository's name.
std::string FolderName(const std::filesystem::path& folder);

}  // namespace graft::converter
