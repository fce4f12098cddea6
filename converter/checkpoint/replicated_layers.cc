// SPDX-License-Identifier: Apache-2.0
// Finds the stack by its numbered names and writes new names.
#include "converter/checkpoint/replicated_layers.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace graft::converter {
namespace {

// Many times the layers of any model.
constexpr int64_t kMaxLayers = 4096;
constexpr size_t kMaxTensors = size_t{1} << 18;

// "model.layers." + 3 + ".mlp.weight"
struct LayerName {
  std::string_view prefix;
  int64_t layer = -1;
  std::string_view rest;
};

// Splits at the first part that is a number after one of the names PEFT replicates; layer -1 if
// there is none.
LayerName SplitLayer(std::string_view name) {
  for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    const std::string_view digits = name.substr(dot + 1, name.find('.', dot + 1) - dot - 1);
    int64_t layer = -1;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() || layer < 0)
      continue;
    const std::string_view prefix = name.substr(0, dot + 1);
    const bool stack =
        prefix.ends_with("layers.") || prefix.ends_with("layer.") || prefix.ends_with("h.");
    if (!stack) return {};
    return {prefix, layer, name.substr(dot + 1 + digits.size())};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ReplicatedLayers>> ReplicatedLayers::Create(
    const TensorSource& base, std::span<const std::pair<int64_t, int64_t>> ranges) {
  std::unique_ptr<ReplicatedLayers> replicated(new ReplicatedLayers(base));
  std::set<std::string_view> prefixes;
  int64_t base_layers = 0;
  for (const TensorInfo& info : base.tensors()) {
    const LayerName name = SplitLayer(info.name);
    if (name.layer < 0) continue;
    if (name.layer >= kMaxLayers) {
      return Error(StatusCode::kUnsupported, "the base has a layer %lld; at most %lld fit",
                   static_cast<long long>(name.layer), static_cast<long long>(kMaxLayers));
    }
    prefixes.insert(name.prefix);
    base_layers = std::max(base_layers, name.layer + 1);
  }
  if (prefixes.size() != 1) {
    return Error(StatusCode::kMismatch,
                 "layer_replication needs one stack of layers; the base has %zu", prefixes.size());
  }
  std::vector<int64_t> sources;
  for (const auto& [first, end] : ranges) {
    if (end > base_layers) {
      return Error(StatusCode::kMismatch,
                   "layer_replication asks for layers up to %lld; the base has %lld",
                   static_cast<long long>(end), static_cast<long long>(base_layers));
    }
    for (int64_t layer = first; layer < end; ++layer) sources.push_back(layer);
  }
  replicated->layers_ = static_cast<int64_t>(sources.size());
  std::vector<std::vector<int64_t>> copies(static_cast<size_t>(base_layers));
  for (size_t i = 0; i < sources.size(); ++i) {
    copies[static_cast<size_t>(sources[i])].push_back(static_cast<int64_t>(i));
  }
  size_t tensors = 0;
  for (const TensorInfo& info : base.tensors()) {
    const LayerName name = SplitLayer(info.name);
    if (name.layer >= 0) tensors += copies[static_cast<size_t>(name.layer)].size();
  }
  if (tensors > kMaxTensors) {
    return Error(StatusCode::kUnsupported, "layer_replication makes %zu tensors, more than %zu",
                 tensors, kMaxTensors);
  }
  for (const TensorInfo& info : base.tensors()) {
    const LayerName name = SplitLayer(info.name);
    if (name.layer < 0) {
      replicated->infos_.push_back(info);
      replicated->origins_.emplace(info.name, info.name);
      continue;
    }
    for (const int64_t copy : copies[static_cast<size_t>(name.layer)]) {
      TensorInfo renamed = info;
      renamed.name = std::string(name.prefix) + std::to_string(copy) + std::string(name.rest);
      replicated->origins_.emplace(renamed.name, info.name);
      replicated->infos_.push_back(std::move(renamed));
    }
  }
  std::sort(replicated->infos_.begin(), replicated->infos_.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  return replicated;
}

const TensorInfo* ReplicatedLayers::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(infos_.begin(), infos_.end(), name,
                       [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  return found != infos_.end() && found->name == name ? &*found : nullptr;
}

std::string_view ReplicatedLayers::OriginOf(std::string_view name) const {
  const auto found = origins_.find(name);
  return found != origins_.end() ? std::string_view(found->second) : std::string_view();
}

Status ReplicatedLayers::ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                                  std::span<double> out) const {
  const std::string_view origin = OriginOf(name);
  if (origin.empty()) {
    return Error(StatusCode::kNotFound, "the replicated model has no tensor '%s'",
                 std::string(name).c_str());
  }
  return base_->ReadRows(origin, row_begin, row_end, out);
}

}  // namespace graft::converter
