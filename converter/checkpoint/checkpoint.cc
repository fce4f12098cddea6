// SPDX-License-Identifier: Apache-2.0
// Lines the tensors of the weight files up by name.
#include "converter/checkpoint/checkpoint.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "converter/base/cancellation.h"
#include "converter/checkpoint/find_weights.h"
#include "converter/checkpoint/quantized/refused_codes.h"
#include "converter/checkpoint/shard_index.h"
#include "converter/checkpoint/tied_embeddings.h"
#include "converter/formats/gguf/gguf_header.h"
#include "converter/formats/open_weight_file.h"
#include "converter/gguf/gguf_model.h"
#include "converter/tensors/training_wrappers.h"

namespace graft::converter {
namespace fs = std::filesystem;

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const fs::path& path) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  if (Status opened = checkpoint->OpenFiles(path); !opened.ok()) {
    return ExplainElementType(opened, checkpoint->folder_);
  }
  GRAFT_RETURN_IF_ERROR(checkpoint->Gather());
  GRAFT_RETURN_IF_ERROR(checkpoint->PresentPacked(path));
  GRAFT_RETURN_IF_ERROR(checkpoint->SettleTiedHead());
  return checkpoint;
}

Status Checkpoint::OpenFiles(const fs::path& path) {
  std::error_code error;
  WeightsFound found{path, IsShardIndex(path.filename().string())};
  folder_ = path;
  if (fs::is_directory(path, error)) {
    GRAFT_ASSIGN_OR_RETURN(found, FindWeights(path));
  } else {
    folder_ = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  }
  GRAFT_ASSIGN_OR_RETURN(const auto start, InputFile::Open(found.file));
  GRAFT_ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(*start));
  if (is_gguf || found.file.extension() == ".gguf") return OpenGguf(found.file);
  if (found.is_index) {
    index_file_ = found.file;
    GRAFT_ASSIGN_OR_RETURN(shards_, OpenShards(index_file_));
    return OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(auto file, OpenWeightFile(found.file));
  shards_.push_back(std::move(file));
  return OkStatus();
}

Status Checkpoint::OpenGguf(const fs::path& file) {
  GRAFT_ASSIGN_OR_RETURN(GgufModel model, OpenGgufModel(file));
  shards_ = std::move(model.files);
  folder_ = std::move(model.folder);
  made_ = std::move(model.kept);
  stored_as_ = std::move(model.stored_as);
  is_quantized_ = model.is_quantized;
  // As a checkpoint of several files has it.
  if (shards_.size() > 1) index_file_ = folder_ / "model.safetensors.index.json";
  return OkStatus();
}

std::string Checkpoint::NameOf(const WeightFile::Entry& entry) const {
  const std::string name = WithoutTrainingWrappers(entry.info.name);
  return drop_module_ ? WithoutParallelWrappers(name) : name;
}

std::vector<std::pair<std::string, Checkpoint::Location>> Checkpoint::Named() const {
  std::vector<std::pair<std::string, Location>> named;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const WeightFile::Entry& entry : shards_[shard]->entries()) {
      named.emplace_back(NameOf(entry), Location{shard, &entry});
    }
  }
  std::stable_sort(named.begin(), named.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return named;
}

Status Checkpoint::Gather() {
  const auto twice = [](const auto& named) {
    return std::adjacent_find(named.begin(), named.end(),
                              [](const auto& a, const auto& b) { return a.first == b.first; });
  };
  // The whole model may have been wrapped by PyTorch's parallel classes, or one module of it; or a
  // module of its own is called so, and graft.json or its neighbours may need the name.
  std::error_code error;
  drop_module_ = !fs::exists(folder_ / "graft.json", error);
  auto named = Named();
  if (drop_module_ && twice(named) != named.end()) {
    drop_module_ = false;
    named = Named();
  }
  if (const auto same = twice(named); same != named.end()) {
    const Location& one = same[0].second;
    const Location& other = same[1].second;
    if (one.entry->info.name == other.entry->info.name) {
      return Error(StatusCode::kCorrupt, "tensor '%s' is both in %s and in %s",
                   one.entry->info.name.c_str(), shards_[one.shard]->path().c_str(),
                   shards_[other.shard]->path().c_str());
    }
    return Error(StatusCode::kCorrupt,
                 "%s: tensors '%s' and '%s' have one name without the parts that training adds",
                 shards_[other.shard]->path().c_str(), one.entry->info.name.c_str(),
                 other.entry->info.name.c_str());
  }
  for (auto& [name, location] : named) {
    locations_.push_back(location);
    infos_.push_back(location.entry->info);
    infos_.back().name = std::move(name);
  }
  wrapper_ = CommonWrapper();
  return OkStatus();
}

// Puts packed weights in the places of their codes.
Status Checkpoint::PresentPacked(const fs::path& path) {
  std::vector<StoredTensor> stored;
  for (size_t i = 0; i < infos_.size(); ++i) {
    const Location& location = locations_[i];
    stored.push_back({infos_[i].name, shards_[location.shard].get(), location.entry});
  }
  GRAFT_ASSIGN_OR_RETURN(
      packed_, ReadQuantizedWeights(StoredTensors(std::move(stored)), folder_, path.string()));
  if (packed_.empty()) return OkStatus();
  stored_as_ = DescribeKinds(packed_);
  is_quantized_ = true;
  std::map<std::string_view, const PackedWeight*> parts;
  for (const PackedWeight& weight : packed_) {
    for (const std::string_view part : weight.parts) parts[part] = &weight;
  }
  std::vector<std::pair<TensorInfo, Location>> presented;
  for (size_t i = 0; i < infos_.size(); ++i) {
    const auto part = parts.find(infos_[i].name);
    if (part == parts.end()) {
      presented.emplace_back(infos_[i], locations_[i]);
    } else if (part->second->parts[0] == infos_[i].name) {
      presented.emplace_back(part->second->tensor->info(), locations_[i]);
      presented.back().second.packed = part->second->tensor.get();
    }
  }
  std::sort(presented.begin(), presented.end(),
            [](const auto& a, const auto& b) { return a.first.name < b.first.name; });
  // The parts' names are views of the old list.
  for (PackedWeight& weight : packed_) weight.parts.clear();
  infos_.clear();
  locations_.clear();
  for (auto& [info, location] : presented) {
    infos_.push_back(std::move(info));
    locations_.push_back(location);
  }
  return OkStatus();
}

// What stands before every name; empty if that differs.
std::string Checkpoint::CommonWrapper() const {
  std::string_view wrapper;
  for (size_t i = 0; i < infos_.size(); ++i) {
    const std::string_view stored = locations_[i].entry->info.name;
    if (!stored.ends_with(infos_[i].name)) return {};
    const std::string_view before = stored.substr(0, stored.size() - infos_[i].name.size());
    if (i > 0 && before != wrapper) return {};
    wrapper = before;
  }
  return std::string(wrapper);
}

std::string Checkpoint::StoredName(std::string_view name) const {
  if (copied_head_ != nullptr && NameOf(*copied_head_) == name) return copied_head_->info.name;
  const Location* location = Locate(name);
  // A head that is taken for the input embedding does not keep its name, nor do codes.
  const bool kept =
      location != nullptr && location->entry != lone_head_ && location->packed == nullptr;
  return kept ? location->entry->info.name : wrapper_ + std::string(name);
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
    GRAFT_ASSIGN_OR_RETURN(const bool same, SameNumbers(*Find(tie.input), *Find(tie.head)));
    if (!same) return OkStatus();
    if (head->packed == nullptr) copied_head_ = head->entry;
  }
  const ptrdiff_t index = head - locations_.data();
  infos_.erase(infos_.begin() + index);
  locations_.erase(locations_.begin() + index);
  return OkStatus();
}

Result<bool> Checkpoint::SameNumbers(const TensorInfo& a, const TensorInfo& b) const {
  const Location& first = *Locate(a.name);
  const Location& second = *Locate(b.name);
  if (first.packed == nullptr && second.packed == nullptr) {
    return shards_[first.shard]->SameNumbers(*first.entry, *shards_[second.shard], *second.entry);
  }
  if (a.shape != b.shape) return false;
  const int64_t step =
      std::max<int64_t>(1, (int64_t{1} << 18) / std::max<int64_t>(1, a.row_elements()));
  std::vector<double> numbers, others;
  for (int64_t row = 0; row < a.rows(); row += step) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    const int64_t end = std::min(a.rows(), row + step);
    numbers.resize(static_cast<size_t>((end - row) * a.row_elements()));
    others.resize(numbers.size());
    GRAFT_RETURN_IF_ERROR(ReadRows(a.name, row, end, numbers));
    GRAFT_RETURN_IF_ERROR(ReadRows(b.name, row, end, others));
    if (numbers != others) return false;
  }
  return true;
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
  if (location->packed != nullptr) return location->packed->ReadRows(row_begin, row_end, out);
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
