// SPDX-License-Identifier: Apache-2.0
// The layout: models--org--name/{refs/main, snapshots/REVISION/files, blobs/HASH}.
#include "converter/base/hub_cache.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <system_error>
#include <vector>

#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRepositoryStart = "models--";

bool IsFolder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// A folder from the environment; empty if it is not set.
fs::path FromEnvironment(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return {};
  const std::string_view text = value;
  const char* home = std::getenv("HOME");
  if (text.starts_with("~/") && home != nullptr) return fs::path(home) / text.substr(2);
  return text;
}

// The revision that refs/main names; empty if there is none that could be a folder's name.
std::string MainRevision(const fs::path& repository) {
  std::ifstream file(repository / "refs" / "main", std::ios::binary);
  std::array<char, 128> text{};
  file.read(text.data(), text.size());
  std::string_view revision(text.data(), static_cast<size_t>(file.gcount()));
  while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back())) != 0)
    revision.remove_suffix(1);
  const bool plain = !revision.empty() && revision.size() < text.size() &&
                     std::all_of(revision.begin(), revision.end(), [](char c) {
                       return std::isalnum(static_cast<unsigned char>(c)) != 0;
                     });
  return plain ? std::string(revision) : std::string();
}

Result<fs::path> SnapshotOf(const fs::path& repository) {
  const fs::path snapshots = repository / "snapshots";
  if (const std::string revision = MainRevision(repository);
      !revision.empty() && IsFolder(snapshots / revision)) {
    return snapshots / revision;
  }
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(snapshots, error), end; !error && it != end; it.increment(error)) {
    if (IsFolder(it->path())) found.push_back(it->path());
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return Error(StatusCode::kNotFound,
                 "%s: is a repository's folder in the hub's cache, but holds no snapshot; its "
                 "download did not finish",
                 repository.c_str());
  }
  std::sort(found.begin(), found.end());
  constexpr size_t kShown = 8;
  std::string list;
  for (size_t i = 0; i < std::min(found.size(), kShown); ++i)
    list += (i > 0 ? ", " : "") + Sanitize(found[i].filename().string());
  if (found.size() > kShown) list += ", ...";
  return Error(StatusCode::kMismatch,
               "%s: holds %zu snapshots (%s), and refs/main names none of them; name the folder "
               "below snapshots to take",
               repository.c_str(), found.size(), list.c_str());
}

bool IsNamePart(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part[0] != '.' && part[0] != '-' &&
         part.find("--") == std::string_view::npos && part.find("..") == std::string_view::npos &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' ||
                  c == '-';
         });
}

// The repository's folder in the cache for a name on the hub; empty if it cannot be one.
std::string RepositoryFolder(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos)
    return IsNamePart(name) ? std::string(kRepositoryStart) + std::string(name) : std::string();
  const std::string_view organization = name.substr(0, slash);
  const std::string_view model = name.substr(slash + 1);
  if (!IsNamePart(organization) || !IsNamePart(model)) return {};
  return std::string(kRepositoryStart) + std::string(organization) + "--" + std::string(model);
}

bool IsRepository(const fs::path& folder) {
  return IsFolder(folder / "snapshots") &&
         (IsFolder(folder / "blobs") || IsFolder(folder / "refs"));
}

}  // namespace

fs::path HubCacheFolder() {
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (fs::path folder = FromEnvironment(variable); !folder.empty()) return folder;
  }
  if (const fs::path home = FromEnvironment("HF_HOME"); !home.empty()) return home / "hub";
  fs::path cache = FromEnvironment("XDG_CACHE_HOME");
  if (cache.empty()) cache = FromEnvironment("HOME") / ".cache";
  return cache / "huggingface" / "hub";
}

Result<fs::path> ResolveHubPath(const fs::path& path, const fs::path& cache) {
  std::error_code error;
  const fs::path clean = path.has_filename() ? path : path.parent_path();
  if (IsFolder(path)) {
    if (clean.filename() == "snapshots") return SnapshotOf(clean.parent_path());
    const bool repository =
        IsRepository(clean) ||
        (IsFolder(clean / "snapshots") && clean.filename().string().starts_with(kRepositoryStart));
    if (repository) return SnapshotOf(clean);
    return path;
  }
  if (fs::exists(path, error)) return path;
  const std::string name = path.string();
  const std::string repository = RepositoryFolder(name);
  if (repository.empty()) return path;
  if (IsFolder(cache / repository)) return SnapshotOf(cache / repository);
  // A word without a slash is rather a folder that is misspelt, and so is a file's name.
  const std::string ending = path.extension().string();
  if (name.find('/') == std::string::npos || ending == ".safetensors" || ending == ".bin" ||
      ending == ".pt" || ending == ".json" || ending == ".gguf") {
    return path;
  }
  return Error(StatusCode::kNotFound,
               "%s: is not a folder, and if it is a name on the hub, %s, where its files would be, "
               "is not there; `hf download %s` fetches them",
               name.c_str(), (cache / repository).c_str(), name.c_str());
}

std::string HubName(const fs::path& folder) {
  const fs::path clean = fs::absolute(folder).lexically_normal();
  const fs::path last = clean.has_filename() ? clean : clean.parent_path();
  const fs::path above = last.parent_path();
  std::string name = above.parent_path().filename().string();
  if (above.filename() != "snapshots" || !name.starts_with(kRepositoryStart)) return {};
  name.erase(0, kRepositoryStart.size());
  if (const size_t end = name.find("--"); end != std::string::npos) name.replace(end, 2, "/");
  return name;
}

std::string FolderName(const fs::path& folder) {
  if (const std::string name = HubName(folder); !name.empty())
    return name.substr(name.rfind('/') + 1);
  const fs::path clean = fs::absolute(folder).lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

}  // namespace graft::converter
