// SPDX-License-Identifier: Apache-2.0
// Tensor names are cut at the number of their layer.
#include "converter/adapter/mlx_targets.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace graft::converter {
namespace {

struct LayerName {
  std::string_view stack;  // "model.layers."
  int64_t layer = 0;
  std::string_view rest;  // "self_attn.q_proj.weight"
};

// Cut at the first part that is a number.
std::optional<LayerName> CutAtLayer(std::string_view name) {
  constexpr size_t kMaxDigits = 9;
  for (size_t begin = 0; begin < name.size();) {
    const size_t dot = name.find('.', begin);
    if (dot == std::string_view::npos) return std::nullopt;
    int64_t layer = 0;
    const auto parsed = std::from_chars(name.data() + begin, name.data() + dot, layer);
    if (dot > begin && dot - begin <= kMaxDigits && parsed.ec == std::errc() &&
        parsed.ptr == name.data() + dot && layer >= 0) {
      return LayerName{name.substr(0, begin), layer, name.substr(dot + 1)};
    }
    begin = dot + 1;
  }
  return std::nullopt;
}

}  // namespace

MlxTargets::MlxTargets(const AdapterConfig& config, std::span<const TensorInfo> base,
                       const Names& merged) {
  std::map<std::string_view, int64_t> stacks;
  for (const std::string& name : merged) {
    if (const auto cut = CutAtLayer(name)) ++stacks[cut->stack];
  }
  const auto most =
      std::max_element(stacks.begin(), stacks.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != stacks.end()) stack_ = most->first;

  int64_t layers = 0;
  for (const TensorInfo& info : base) {
    const auto cut = CutAtLayer(info.name);
    if (cut && cut->stack == stack_) layers = std::max(layers, cut->layer + 1);
  }
  if (config.last_layers > 0) first_layer_ = std::max<int64_t>(0, layers - config.last_layers);

  if (!config.whole_tensors && !config.target_modules.names.empty()) {
    for (const std::string& key : config.target_modules.names) {
      in_layer_.insert(key + ".weight");
      in_model_.insert(key + ".weight");
    }
    return;
  }
  for (const std::string& name : merged) {
    const auto cut = CutAtLayer(name);
    if (cut && cut->stack == stack_) in_layer_.insert(std::string(cut->rest));
  }
}

bool MlxTargets::Has(const TensorInfo& tensor, std::string_view adapter_name) const {
  if (in_model_.count(adapter_name) > 0) return true;
  const auto cut = CutAtLayer(tensor.name);
  return cut && !stack_.empty() && cut->stack == stack_ && cut->layer >= first_layer_ &&
         in_layer_.count(cut->rest) > 0;
}

}  // namespace graft::converter
