// SPDX-License-Identifier: Apache-2.0
// Finds the weight files of a folder and lines their tensors up by name.
#include "converter/checkpoint/checkpoint.h"

#include <algorithm>
#include <map>
#include <system_error>

#include "converter/checkpoint/tied_embeddings.h"
#include "converter/formats/open_weight_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexEnding = ".safetensors.index.json";
constexpr std::string_view kTorchIndexEnding = ".bin.index.json";
constexpr std::string_view kFileEnding = ".safetensors";
constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;

struct Found {
  fs::path file;
  bool is_index = false;
};

// model.safetensors, then its index, then whatever single file there is.
Result<Found> FindWeights(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder / "model.safetensors", error))
    return Found{folder / "model.safetensors", false};
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::is_regular_file(index, error)) return Found{index, true};
  std::vector<fs::path> files;
  std::vector<fs::path> indexes;
  bool has_pickle = false;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name == "adapter_model.safetensors" || name == "adapters.safetensors") continue;
    if (name.ends_with(kIndexEnding)) indexes.push_back(it->path());
    if (name.ends_with(kFileEnding)) files.push_back(it->path());
    if (name.ends_with(".bin") || name.ends_with(".pt")) has_pickle = true;
  }
  if (error) {
    return Error(StatusCode::kIo, "%s: cannot be listed: %s", folder.c_str(),
                 error.message().c_str());
  }
  if (indexes.size() == 1) return Found{indexes[0], true};
  if (indexes.empty() && files.size() == 1) return Found{files[0], false};
  if (files.empty() && indexes.empty()) {
    const fs::path single = folder / "pytorch_model.bin";
    if (fs::is_regular_file(single, error)) return Found{single, false};
    const fs::path torch_index = folder / "pytorch_model.bin.index.json";
    if (fs::is_regular_file(torch_index, error)) return Found{torch_index, true};
  }
  if (fs::exists(folder / "adapter_config.json", error)) {
    return Error(StatusCode::kNotFound,
                 "%s: holds an adapter (adapter_config.json) and no model; name the model it was "
                 "trained on as --base and this folder as --adapter",
                 folder.c_str());
  }
  if (files.empty() && has_pickle) {
    return Error(
        StatusCode::kUnsupported,
        "%s: holds PyTorch files, but neither model.safetensors nor pytorch_model.bin; name "
        "the file that holds the model",
        folder.c_str());
  }
  return Error(StatusCode::kNotFound,
               "%s: needs model.safetensors or model.safetensors.index.json; it holds %zu "
               ".safetensors files "
               "and %zu indexes of other names",
               folder.c_str(), files.size(), indexes.size());
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const fs::path& path) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  std::error_code error;
  if (fs::is_directory(path, error)) {
    GRAFT_ASSIGN_OR_RETURN(const Found found, FindWeights(path));
    checkpoint->folder_ = path;
    if (found.is_index) {
      checkpoint->index_file_ = found.file;
    } else {
      GRAFT_ASSIGN_OR_RETURN(auto file, OpenWeightFile(found.file));
      checkpoint->shards_.push_back(std::move(file));
    }
  } else {
    checkpoint->folder_ = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    const std::string name = path.filename().string();
    if (name.ends_with(kIndexEnding) || name.ends_with(kTorchIndexEnding)) {
      checkpoint->index_file_ = path;
    } else {
      GRAFT_ASSIGN_OR_RETURN(auto file, OpenWeightFile(path));
      checkpoint->shards_.push_back(std::move(file));
    }
  }
  if (!checkpoint->index_file_.empty()) GRAFT_RETURN_IF_ERROR(checkpoint->OpenIndexed());
  GRAFT_RETURN_IF_ERROR(checkpoint->Gather());
  GRAFT_RETURN_IF_ERROR(checkpoint->SettleTiedHead());
  return checkpoint;
}

Status Checkpoint::OpenIndexed() {
  JsonLimits limits;
  limits.max_bytes = kMaxIndexBytes;
  GRAFT_ASSIGN_OR_RETURN(const auto index, JsonDocument::Read(index_file_, limits));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue map, index->root().Get("weight_map", JsonKind::kObject));
  std::map<std::string, size_t, std::less<>> shard_of;
  for (size_t i = 0; i < map.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view file, map.at(i).AsString());
    // A name from a file may point at files of this folder only.
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string_view::npos ||
        file.find('\0') != std::string_view::npos) {
      return map.at(i).Fail("is not the name of a file in the same folder");
    }
    shard_of.emplace(file, 0);
  }
  for (auto& [name, number] : shard_of) {
    auto shard = OpenWeightFile(folder_ / name);
    if (!shard.ok() && shard.status().code() == StatusCode::kNotFound) {
      return Error(StatusCode::kNotFound, "%s: names the shard %s, which is missing",
                   index_file_.c_str(), name.c_str());
    }
    if (!shard.ok()) return shard.status();
    number = shards_.size();
    shards_.push_back(std::move(shard).value());
  }
  for (size_t i = 0; i < map.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view file, map.at(i).AsString());
    if (shards_[shard_of.find(file)->second]->Find(map.key(i)) == nullptr) {
      return map.at(i).Fail("should be in that shard, which does not hold it");
    }
  }
  return OkStatus();
}

Status Checkpoint::Gather() {
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const WeightFile::Entry& entry : shards_[shard]->entries()) {
      locations_.push_back({shard, &entry});
    }
  }
  std::stable_sort(locations_.begin(), locations_.end(), [](const Location& a, const Location& b) {
    return a.entry->info.name < b.entry->info.name;
  });
  for (size_t i = 0; i < locations_.size(); ++i) {
    infos_.push_back(locations_[i].entry->info);
    if (i > 0 && infos_[i].name == infos_[i - 1].name) {
      return Error(StatusCode::kCorrupt, "tensor '%s' is both in %s and in %s",
                   infos_[i].name.c_str(), shards_[locations_[i - 1].shard]->path().c_str(),
                   shards_[locations_[i].shard]->path().c_str());
    }
  }
  return OkStatus();
}

Status Checkpoint::SettleTiedHead() {
  const TiedEmbeddings tie = TiedEmbeddings::FindNames(*this);
  if (!tie.has_head) return OkStatus();
  const fs::path config = folder_ / "config.json";
  std::error_code error;
  if (!fs::exists(config, error)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const bool tied, TiedEmbeddings::TiedByConfig(config, /*has_head=*/true));
  if (!tied) return OkStatus();
  if (tie.input.empty()) {
    std::string input = TiedEmbeddings::InputName(*this);
    if (!input.empty()) TakeHeadForInput(tie.head, std::move(input));
    return OkStatus();
  }
  const Location* input = Locate(tie.input);
  const Location* head = Locate(tie.head);
  // A second name for the same bytes, as PyTorch's files have it.
  const bool alias = input->shard == head->shard &&
                     input->entry->file_offset == head->entry->file_offset &&
                     input->entry->info.dtype == head->entry->info.dtype &&
                     input->entry->info.shape == head->entry->info.shape &&
                     input->entry->strides == head->entry->strides;
  if (!alias) {
    GRAFT_ASSIGN_OR_RETURN(
        const bool same,
        shards_[input->shard]->SameNumbers(*input->entry, *shards_[head->shard], *head->entry));
    if (!same) return OkStatus();
    copied_head_ = head->entry;
  }
  const ptrdiff_t index = head - locations_.data();
  infos_.erase(infos_.begin() + index);
  locations_.erase(locations_.begin() + index);
  return OkStatus();
}

void Checkpoint::TakeHeadForInput(const std::string& head, std::string input) {
  const Location location = *Locate(head);
  const ptrdiff_t from = Find(head) - infos_.data();
  TensorInfo info = infos_[static_cast<size_t>(from)];
  info.name = std::move(input);
  infos_.erase(infos_.begin() + from);
  locations_.erase(locations_.begin() + from);
  const auto place =
      std::lower_bound(infos_.begin(), infos_.end(), info.name,
                       [](const TensorInfo& t, const std::string& name) { return t.name < name; });
  locations_.insert(locations_.begin() + (place - infos_.begin()), location);
  infos_.insert(place, std::move(info));
  lone_head_ = location.entry;
}

const Checkpoint::Location* Checkpoint::Locate(std::string_view name) const {
  const TensorInfo* info = Find(name);
  return info == nullptr ? nullptr : &locations_[static_cast<size_t>(info - infos_.data())];
}

const TensorInfo* Checkpoint::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(infos_.begin(), infos_.end(), name,
                       [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  return found != infos_.end() && found->name == name ? &*found : nullptr;
}

Status Checkpoint::ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                            std::span<double> out) const {
  const Location* location = Locate(name);
  if (location == nullptr) {
    return Error(StatusCode::kNotFound, "%s: has no tensor '%s'", folder_.c_str(),
                 std::string(name).c_str());
  }
  return shards_[location->shard]->ReadRows(*location->entry, row_begin, row_end, out);
}

Status Checkpoint::ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                                std::span<double> out) const {
  return ReadRows(name, row_begin, row_end, out);
}

Result<schema::Hash128> Checkpoint::Hash(const std::atomic<bool>* stop) const {
  std::vector<const InputFile*> files;
  for (const auto& shard : shards_) files.push_back(&shard->file());
  return HashFiles(files, stop);
}

}  // namespace graft::converter
