// SPDX-License-Identifier: Apache-2.0
// The folder is listed once; what is missing is said by what is there.
#include "converter/checkpoint/find_weights.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "converter/base/foreign_file.h"
#include "converter/base/input_file.h"
#include "converter/gguf/families/gguf_parts.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexEnding = ".safetensors.index.json";
constexpr std::string_view kFileEnding = ".safetensors";

// A model in a format of another program's.
bool IsOtherKind(std::string_view name) {
  constexpr std::string_view kEndings[] = {".ggml",   ".onnx", ".h5",      ".msgpack", ".tflite",
                                           ".pth",    ".ckpt", ".npz",     ".nemo",    ".mlmodel",
                                           ".engine", ".ot",   ".litertlm"};
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [name](std::string_view ending) { return name.ends_with(ending); });
}

// A GGUF model, or the first part of one: no projector of images, and no statistics.
bool IsGgufModel(std::string_view name) {
  if (!name.ends_with(".gguf") || name.starts_with("mmproj") || name.starts_with("imatrix"))
    return false;
  const std::string_view part = GgufSplitEnding(name);
  return part.empty() || part.starts_with("-00001-of-");
}

struct Listing {
  std::vector<fs::path> files;
  std::vector<fs::path> ggufs;
  std::vector<fs::path> indexes;
  std::vector<fs::path> pickles;  // files that are called as PyTorch's are
  std::string other;              // a file of another kind, the first by name
  std::string missing;            // a link to nothing
};

Result<Listing> List(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("adapter_model") || name == "adapters.safetensors") continue;
    const bool pickle = name.ends_with(".bin") || name.ends_with(".pt");
    const bool weights = pickle || name.ends_with(kFileEnding) || name.ends_with(kIndexEnding);
    if (name.ends_with(kIndexEnding)) listing.indexes.push_back(it->path());
    if (name.ends_with(kFileEnding)) listing.files.push_back(it->path());
    if (IsGgufModel(name)) listing.ggufs.push_back(it->path());
    if (pickle) listing.pickles.push_back(it->path());
    if (IsOtherKind(name) && (listing.other.empty() || name < listing.other)) listing.other = name;
    std::error_code link_error;
    if (weights && it->is_symlink(link_error) && !it->exists(link_error)) listing.missing = name;
  }
  std::sort(listing.pickles.begin(), listing.pickles.end());
  if (!error) return listing;
  return Error(StatusCode::kIo, "%s: cannot be listed: %s", folder.c_str(),
               error.message().c_str());
}

Status SeveralGgufs(const fs::path& folder, std::vector<fs::path> ggufs) {
  constexpr size_t kMostShown = 8;
  std::sort(ggufs.begin(), ggufs.end());
  std::string names;
  for (size_t i = 0; i < std::min(ggufs.size(), kMostShown); ++i)
    names += (i > 0 ? ", " : "") + ggufs[i].filename().string();
  if (ggufs.size() > kMostShown) names += ", ...";
  return Error(StatusCode::kNotFound, "%s: holds %zu GGUF models (%s); name the file of one",
               folder.c_str(), ggufs.size(), names.c_str());
}

// An error if one of the files is of a kind that is known, and not PyTorch's.
Status SayOthers(const std::vector<fs::path>& files) {
  for (const fs::path& path : files) {
    const auto file = InputFile::Open(path);
    if (!file.ok()) continue;
    GRAFT_ASSIGN_OR_RETURN(const char* what, WhatFileIs(**file));
    if (what != nullptr) return Error(StatusCode::kUnsupported, "%s: %s", path.c_str(), what);
  }
  return OkStatus();
}

Status NothingFound(const fs::path& folder, const Listing& listing) {
  std::error_code error;
  if (fs::exists(folder / "adapter_config.json", error)) {
    return Error(StatusCode::kNotFound,
                 "%s: holds an adapter (adapter_config.json) and no model; name the model it was "
                 "trained on as --base and this folder as --adapter",
                 folder.c_str());
  }
  if (listing.files.empty() && !listing.pickles.empty()) {
    GRAFT_RETURN_IF_ERROR(SayOthers(listing.pickles));
    return Error(
        StatusCode::kUnsupported,
        "%s: holds PyTorch files, but neither model.safetensors nor pytorch_model.bin; name "
        "the file that holds the model",
        folder.c_str());
  }
  if (listing.files.empty() && !listing.other.empty()) {
    return Error(StatusCode::kUnsupported,
                 "%s: holds %s, which graft does not read, and no safetensors file; start from the "
                 "checkpoint that it was made from (model.safetensors or pytorch_model.bin)",
                 folder.c_str(), listing.other.c_str());
  }
  return Error(StatusCode::kNotFound,
               "%s: needs model.safetensors or model.safetensors.index.json; it holds %zu "
               ".safetensors files "
               "and %zu indexes of other names",
               folder.c_str(), listing.files.size(), listing.indexes.size());
}

}  // namespace

Result<WeightsFound> FindWeights(const fs::path& folder) {
  std::error_code error;
  const auto is_file = [&](const fs::path& file) { return fs::is_regular_file(file, error); };
  if (const fs::path file = folder / "model.safetensors"; is_file(file))
    return WeightsFound{file, false};
  if (const fs::path index = folder / "model.safetensors.index.json"; is_file(index))
    return WeightsFound{index, true};
  GRAFT_ASSIGN_OR_RETURN(const Listing listing, List(folder));
  if (!listing.missing.empty()) {
    return Error(StatusCode::kNotFound,
                 "%s: its %s is a link to a file that is not there; the download did not finish, "
                 "or the file was moved",
                 folder.c_str(), listing.missing.c_str());
  }
  if (listing.indexes.size() == 1) return WeightsFound{listing.indexes[0], true};
  if (listing.indexes.empty() && listing.files.size() == 1)
    return WeightsFound{listing.files[0], false};
  if (listing.files.empty() && listing.indexes.empty()) {
    if (const fs::path file = folder / "pytorch_model.bin"; is_file(file))
      return WeightsFound{file, false};
    if (const fs::path index = folder / "pytorch_model.bin.index.json"; is_file(index))
      return WeightsFound{index, true};
  }
  if (listing.files.empty() && listing.indexes.empty() && listing.ggufs.size() == 1)
    return WeightsFound{listing.ggufs[0], false};
  if (listing.files.empty() && listing.indexes.empty() && listing.ggufs.size() > 1)
    return SeveralGgufs(folder, listing.ggufs);
  return NothingFound(folder, listing);
}

}  // namespace graft::converter
