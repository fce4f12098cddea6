// SPDX-License-Identifier: Apache-2.0
// Finds the files, then sorts every tensor by what its name means.
#include "converter/adapter/adapter_file.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "converter/adapter/adapter_location.h"
#include "converter/adapter/foreign_adapter.h"
#include "converter/adapter/metadata_config.h"
#include "converter/base/parallel.h"
#include "converter/checkpoint/shard_index.h"
#include "converter/formats/open_weight_file.h"
#include "converter/gguf/gguf_adapter.h"
#include "converter/tensors/training_wrappers.h"

namespace graft::converter {
namespace {

// Tensors without the configuration they belong to.
Status NoConfig(const WeightFile& weights, const AdapterKinds& kinds) {
  const std::span<const WeightFile::Entry> entries = weights.entries();
  if (const char* what = WhoseAdapter(entries); what != nullptr) {
    return Error(StatusCode::kUnsupported, "%s: %s", weights.path().c_str(), what);
  }
  const char* first = entries.empty() ? "" : entries[0].info.name.c_str();
  switch (StyleOfKeys(entries, kinds)) {
    case KeyStyle::kPeft:
      return Error(
          StatusCode::kNotFound,
          "%s: is a PEFT adapter without its adapter_config.json, which alone says by how "
          "much and how tensors such as '%s' change the model; put it into the same folder",
          weights.path().c_str(), first);
    case KeyStyle::kMlx:
      return Error(StatusCode::kNotFound,
                   "%s: is an mlx-lm adapter without its adapter_config.json, which alone says by "
                   "how much tensors such as '%s' change the model; put it into the same folder",
                   weights.path().c_str(), first);
    case KeyStyle::kKohya:
    case KeyStyle::kUnknown:
      break;
  }
  return Error(StatusCode::kUnsupported,
               "%s: has no adapter_config.json beside it, and its tensors (the first is '%s') are "
               "not named as any adapter's that graft knows",
               weights.path().c_str(), first);
}

// A file, or the shards that an index names.
Result<std::unique_ptr<WeightFile>> OpenWeights(const std::filesystem::path& path) {
  if (!IsShardIndex(path.filename().string())) return OpenWeightFile(path);
  GRAFT_ASSIGN_OR_RETURN(auto shards, OpenShards(path));
  if (shards.empty()) return Error(StatusCode::kCorrupt, "%s: names no shards", path.c_str());
  return WeightFile::Join(std::move(shards));
}

// Places in other tensors are integers; kohya's alpha is one where the trainer was given one.
bool MayHoldIntegers(const AdapterKind& kind, std::string_view role) {
  if (kind.type == AdapterType::kKohya) return role == "alpha";
  role = role.substr(0, role.find('.'));
  return std::find(kind.index_roles.begin(), kind.index_roles.end(), role) !=
         kind.index_roles.end();
}

}  // namespace

const AdapterTensor* AdapterModule::Find(std::string_view role) const {
  const auto found = tensors.find(role);
  return found != tensors.end() ? &found->second : nullptr;
}

Result<std::unique_ptr<AdapterFile>> AdapterFile::Open(const std::filesystem::path& path,
                                                       const AdapterKinds& kinds,
                                                       const std::filesystem::path& base) {
  std::unique_ptr<AdapterFile> adapter(new AdapterFile);
  GRAFT_ASSIGN_OR_RETURN(const AdapterLocation location, LocateAdapter(path));
  if (location.weights.extension() == ".gguf") {
    GRAFT_ASSIGN_OR_RETURN(adapter->weights_, OpenGgufAdapter(location.weights, base));
  } else if (!location.weights.empty()) {
    GRAFT_ASSIGN_OR_RETURN(adapter->weights_, OpenWeights(location.weights));
  }
  if (adapter->weights_ != nullptr &&
      StyleOfKeys(adapter->weights_->entries(), kinds) == KeyStyle::kKohya) {
    adapter->config_.file = adapter->weights_->path();
    adapter->config_.type = AdapterType::kKohya;
    adapter->config_.kind = &kinds.Of(AdapterType::kKohya);
  } else if (location.config_folder.empty()) {
    GRAFT_RETURN_IF_ERROR(adapter->ReadMetadata(kinds));
  } else {
    adapter->folder_ = location.config_folder;
    GRAFT_ASSIGN_OR_RETURN(adapter->config_, AdapterConfig::Read(adapter->folder_, kinds));
  }
  if (adapter->weights_ == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(const std::filesystem::path weights,
                           WeightsBeside(adapter->folder_, adapter->config_.type));
    GRAFT_ASSIGN_OR_RETURN(adapter->weights_, OpenWeights(weights));
  }
  GRAFT_ASSIGN_OR_RETURN(ModuleRules rules, ModuleRules::Create(adapter->config_));
  adapter->rules_ = std::make_unique<ModuleRules>(std::move(rules));
  GRAFT_RETURN_IF_ERROR(adapter->Sort(kinds));
  GRAFT_RETURN_IF_ERROR(adapter->CheckFinite());
  return adapter;
}

Status AdapterFile::ReadMetadata(const AdapterKinds& kinds) {
  const bool peft = StyleOfKeys(weights_->entries(), kinds) == KeyStyle::kPeft &&
                    WhoseAdapter(weights_->entries()) == nullptr;
  if (!peft) return NoConfig(*weights_, kinds);
  GRAFT_ASSIGN_OR_RETURN(auto document, ConfigFromMetadata(*weights_, kinds));
  if (document == nullptr) return NoConfig(*weights_, kinds);
  GRAFT_ASSIGN_OR_RETURN(config_, AdapterConfig::From(std::move(document), kinds));
  return OkStatus();
}

Status AdapterFile::Fail(StatusCode code, const AdapterTensor& tensor,
                         const std::string& what) const {
  return Error(code, "%s: tensor '%s' %s", weights_->FileOf(*tensor.entry).path().c_str(),
               tensor.entry->info.name.c_str(), what.c_str());
}

Result<AdapterNames> AdapterFile::FindAdapterNames(const AdapterKinds& kinds) const {
  AdapterNames names;
  for (const WeightFile::Entry& entry : weights_->entries()) {
    AdapterKey key = SplitPeftKey(WithoutTrainingWrappers(entry.info.name), {}, kinds);
    if (!key.adapter_name.empty()) names.insert(std::move(key.adapter_name));
  }
  if (names.size() <= 1) return names;
  return Error(StatusCode::kUnsupported,
               "%s: holds the tensors of several adapters, among them '%s' and '%s'; save each in "
               "a file of its own",
               weights_->path().c_str(), names.begin()->c_str(), names.rbegin()->c_str());
}

Status AdapterFile::Sort(const AdapterKinds& kinds) {
  AdapterNames names;
  const AdapterType type = config_.type;
  if (type != AdapterType::kMlx && type != AdapterType::kKohya) {
    GRAFT_ASSIGN_OR_RETURN(names, FindAdapterNames(kinds));
  }
  for (const WeightFile::Entry& entry : weights_->entries()) {
    const std::string name = WithoutTrainingWrappers(entry.info.name);
    AdapterKey key = type == AdapterType::kMlx     ? SplitMlxKey(name)
                     : type == AdapterType::kKohya ? SplitKohyaKey(name)
                                                   : SplitPeftKey(name, names, kinds);
    AdapterTensor tensor;
    tensor.module = std::move(key.module);
    tensor.role = std::move(key.role);
    tensor.entry = &entry;
    if (!IsFloat(entry.info.dtype) && !MayHoldIntegers(*config_.kind, tensor.role)) {
      return Fail(StatusCode::kCorrupt, tensor,
                  std::string("has the element type ") + DTypeName(entry.info.dtype) +
                      "; an adapter's tensors are floating-point");
    }
    bool placed = false;
    if (tensor.role.empty()) {
      const auto [place, is_new] = replacements_.emplace(tensor.module, tensor);
      placed = is_new;
      // Old versions of PEFT save an embedding both as itself and as a saved module.
      if (!placed) {
        GRAFT_ASSIGN_OR_RETURN(placed, weights_->Same(*place->second.entry, entry));
      }
    } else {
      AdapterModule& module = modules_[tensor.module];
      module.name = tensor.module;
      if (module.wrapper.empty()) module.wrapper = std::move(key.wrapper);
      const auto [place, is_new] = module.tensors.emplace(tensor.role, tensor);
      placed = is_new;
      // So does PEFT 0.20 with DoRA's magnitudes of an embedding whose vocabulary grew.
      if (!placed) {
        GRAFT_ASSIGN_OR_RETURN(placed, weights_->Same(*place->second.entry, entry));
      }
    }
    if (!placed)
      return Fail(StatusCode::kCorrupt, tensor,
                  "means the same place as another tensor of this file");
  }
  return OkStatus();
}

Status AdapterFile::CheckFinite() const {
  const std::span<const WeightFile::Entry> entries = weights_->entries();
  return ParallelFor(
      DefaultThreads(), static_cast<int64_t>(entries.size()), [&](int64_t index) -> Status {
        const WeightFile::Entry& entry = entries[static_cast<size_t>(index)];
        const int64_t row_elements = std::max<int64_t>(entry.info.row_elements(), 1);
        const int64_t step = std::max<int64_t>(1, 65536 / row_elements);
        std::vector<double> values;
        for (int64_t row = 0; row < entry.info.rows() && entry.size_bytes > 0; row += step) {
          const int64_t end = std::min(entry.info.rows(), row + step);
          values.resize(static_cast<size_t>((end - row) * row_elements));
          GRAFT_RETURN_IF_ERROR(weights_->ReadRows(entry, row, end, values));
          // x * 0 is 0 for every finite x and not a number otherwise.
          double poison = 0;
          for (const double value : values) poison += value * 0;
          if (poison == 0) continue;
          const auto bad = std::find_if(values.begin(), values.end(),
                                        [](double v) { return !std::isfinite(v); });
          return Error(StatusCode::kCorrupt,
                       "%s: tensor '%s' holds %s at element %lld; the adapter's training failed",
                       weights_->FileOf(entry).path().c_str(), entry.info.name.c_str(),
                       std::isnan(*bad) ? "a value that is not a number" : "an infinity",
                       static_cast<long long>(row * row_elements) + (bad - values.begin()));
        }
        return OkStatus();
      });
}

}  // namespace graft::converter
