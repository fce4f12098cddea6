// SPDX-License-Identifier: Apache-2.0
// The folder itself, then what lies in it, then its subfolders; two answers are none.
#include "converter/adapter/adapter_location.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "adapter_config.json";

// "adapter_model-00001-of-00002.safetensors": what the index of such files is called; empty if the
// file's name has no such numbers.
std::string IndexOfShard(const std::string& name) {
  const size_t dot = name.rfind('.');
  constexpr std::string_view kPattern = "-00000-of-00000";
  if (dot == std::string::npos || dot < kPattern.size()) return {};
  const size_t begin = dot - kPattern.size();
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const char c = name[begin + i];
    const bool fits = kPattern[i] == '0' ? c >= '0' && c <= '9' : c == kPattern[i];
    if (!fits) return {};
  }
  return name.substr(0, begin) + name.substr(dot) + ".index.json";
}

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// The entries of a folder that `wanted` accepts, in name order.
template <typename Wanted>
std::vector<fs::path> Entries(const fs::path& folder, Wanted wanted) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (wanted(it->path())) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// "one, two, three and 4 others".
std::string NameList(const std::vector<fs::path>& paths) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(paths.size(), kShown); ++i) {
    if (i > 0) text += ", ";
    text += paths[i].filename().string();
  }
  if (paths.size() > kShown) text += " and " + std::to_string(paths.size() - kShown) + " others";
  return text;
}

Result<AdapterLocation> LocateInFolder(const fs::path& folder) {
  AdapterLocation location;
  if (IsFile(folder / kConfig)) {
    location.config_folder = folder;
    return location;
  }
  const std::vector<fs::path> files = Entries(folder, [](const fs::path& path) {
    const std::string name = path.filename().string();
    // The shards of an index are one adapter, and so is the index.
    if (const std::string index = IndexOfShard(name); !index.empty()) {
      return IsFile(path) && !IsFile(path.parent_path() / index) && name.ends_with(".safetensors");
    }
    return IsFile(path) &&
           (name.ends_with(".safetensors") || name == "adapter_model.bin" ||
            name.ends_with(".safetensors.index.json") || name == "adapter_model.bin.index.json");
  });
  const std::vector<fs::path> folders =
      Entries(folder, [](const fs::path& path) { return IsFile(path / kConfig); });
  // Weights under PEFT's name belong to this folder, whatever its subfolders hold.
  if (files.size() == 1 &&
      (folders.empty() || files[0].filename().string().starts_with("adapter_model."))) {
    location.weights = files[0];
    return location;
  }
  if (files.empty() && folders.size() == 1) {
    location.config_folder = folders[0];
    return location;
  }
  const std::vector<fs::path> ggufs = Entries(
      folder, [](const fs::path& path) { return IsFile(path) && path.extension() == ".gguf"; });
  if (files.empty() && folders.empty() && ggufs.size() == 1) {
    location.weights = ggufs[0];
    return location;
  }
  std::vector<fs::path> several = files;
  if (files.empty() && folders.empty()) several = ggufs;
  several.insert(several.end(), folders.begin(), folders.end());
  if (several.empty()) {
    return Error(StatusCode::kNotFound,
                 "%s: holds no adapter: neither adapter_config.json, nor a subfolder with one, nor "
                 "a safetensors or GGUF file",
                 folder.c_str());
  }
  return Error(StatusCode::kMismatch, "%s: holds %zu adapters (%s); name the one to merge",
               folder.c_str(), several.size(), NameList(several).c_str());
}

}  // namespace

Result<AdapterLocation> LocateAdapter(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return LocateInFolder(path);
  if (!fs::exists(path, error)) {
    return Error(StatusCode::kNotFound, "%s: no such adapter: neither a folder nor a file",
                 path.c_str());
  }
  AdapterLocation location;
  if (path.extension() == ".gguf") {  // it says all of itself
    location.weights = path;
    return location;
  }
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (IsFile(parent / kConfig)) location.config_folder = parent;
  if (path.filename() != kConfig) location.weights = path;
  // One shard is not the adapter.
  const std::string index = IndexOfShard(path.filename().string());
  if (index.empty()) return location;
  location.weights = path.parent_path() / index;
  if (IsFile(location.weights)) return location;
  return Error(StatusCode::kNotFound,
               "%s: is one shard of an adapter, and the index that names all of them, %s, is not "
               "beside it",
               path.c_str(), index.c_str());
}

Result<fs::path> WeightsBeside(const fs::path& config_folder, AdapterType type) {
  const std::string stem = type == AdapterType::kMlx ? "adapters" : "adapter_model";
  for (const char* ending :
       {".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"}) {
    fs::path weights = config_folder / (stem + ending);
    if (IsFile(weights)) return weights;
  }
  for (const fs::path& shard : Entries(config_folder, [](const fs::path& path) {
         return !IndexOfShard(path.filename().string()).empty();
       })) {
    return Error(StatusCode::kNotFound,
                 "%s: has the shard %s, but not the index that names all of them, %s",
                 config_folder.c_str(), shard.filename().c_str(),
                 IndexOfShard(shard.filename().string()).c_str());
  }
  if (type == AdapterType::kMlx) {
    if (const fs::path archive = config_folder / "adapters.npz"; IsFile(archive)) {
      return Error(StatusCode::kUnsupported,
                   "%s: is a NumPy archive, which mlx-lm wrote before 2024's versions; load it "
                   "with mlx and save it as adapters.safetensors",
                   archive.c_str());
    }
    return Error(StatusCode::kNotFound,
                 "%s: has mlx-lm's adapter_config.json, but no adapters.safetensors beside it",
                 config_folder.c_str());
  }
  return Error(StatusCode::kNotFound,
               "%s: has an adapter_config.json, but neither adapter_model.safetensors nor "
               "adapter_model.bin beside it, in one file or in shards",
               config_folder.c_str());
}

}  // namespace graft::converter
