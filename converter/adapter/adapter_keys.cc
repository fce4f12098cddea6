// SPDX-License-Identifier: Apache-2.0
// Names are cut at their dots, and the part that begins an adapter's own tensor is looked for.
#include "converter/adapter/adapter_keys.h"

#include <algorithm>
#include <vector>

#include "converter/tensors/training_wrappers.h"

namespace graft::converter {
namespace {

// What stands before one of these is the module.
constexpr std::string_view kKohyaRoles[] = {
    "lora_down", "lora_up",   "lora_mid",  "alpha",     "dora_scale", "hada_w1_a",
    "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1",   "hada_t2",    "lokr_w1",
    "lokr_w1_a", "lokr_w1_b", "lokr_w2",   "lokr_w2_a", "lokr_w2_b",  "lokr_t2",
    "diff",      "diff_b",    "w_norm",    "b_norm",
};

bool IsKohyaRole(std::string_view part) {
  return std::find(std::begin(kKohyaRoles), std::end(kKohyaRoles), part) != std::end(kKohyaRoles);
}

using Parts = std::vector<std::string_view>;

std::string Join(std::span<const std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    if (!text.empty()) text += '.';
    text += part;
  }
  return text;
}

Parts Split(std::string_view key) {
  Parts parts;
  while (true) {
    const size_t dot = key.find('.');
    parts.push_back(key.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    key.remove_prefix(dot + 1);
  }
}

// The role and what may follow it: the adapter's own name, which some exports keep, and "weight",
// which says nothing.
void ReadRole(std::span<const std::string_view> parts, const AdapterNames& adapter_names,
              const AdapterKinds& kinds, AdapterKey* key) {
  key->role = parts[0];
  const bool keyed = kinds.IsKeyed(parts[0]);
  parts = parts.subspan(1);
  if (!parts.empty() && parts[0] == "trainable_tokens_delta") parts = parts.subspan(1);
  const bool bias = !parts.empty() && parts.back() == "bias";
  if (bias || (!parts.empty() && parts.back() == "weight")) parts = parts.first(parts.size() - 1);
  const bool named =
      !parts.empty() && (!keyed || parts[0] == "default" || adapter_names.count(parts[0]) > 0);
  if (named && (keyed || parts.size() == 1)) {
    key->adapter_name = parts[0];
    parts = parts.subspan(1);
  }
  if (!parts.empty()) key->role += "." + Join(parts);  // a key, or no role of any adapter
  if (bias) key->role += ".bias";
}

// A wrapped module stands as "base_layer" in the names of what it holds: out_proj's tensors are
// called "attn.base_layer.out_proj.lora_A". Cuts that part out and gives back the name before it;
// empty if there is none. "base_layer" before a role or at the module's end is left: there it tells
// one wrapping from another.
std::string LeaveWrapper(Parts* parts, const AdapterKinds& kinds) {
  for (size_t i = 1; i + 2 < parts->size(); ++i) {
    const std::string_view next = (*parts)[i + 1];
    if ((*parts)[i] != "base_layer" || next == "base_layer" || kinds.IsRole(next)) continue;
    std::string wrapper = Join(std::span(*parts).first(i));
    parts->erase(parts->begin() + static_cast<ptrdiff_t>(i));
    return wrapper;
  }
  return {};
}

}  // namespace

AdapterKey SplitPeftKey(std::string_view name, const AdapterNames& adapter_names,
                        const AdapterKinds& kinds) {
  // PyTorch's parallel classes may have wrapped PEFT's model.
  while (name.starts_with("module.")) name.remove_prefix(7);
  // PEFT wraps the model once ("base_model") and the tuner wraps it again ("model").
  while (name.starts_with("base_model.model.")) name.remove_prefix(17);
  if (name.starts_with("base_model.")) name.remove_prefix(11);

  Parts parts = Split(name);
  AdapterKey key;
  key.wrapper = LeaveWrapper(&parts, kinds);
  // The embedding that trained tokens are wrapped around is saved where its vocabulary grew.
  const size_t last = parts.size() - 1;
  if (last >= 3 && parts[last - 1] == "base_layer" && parts[last - 2] == "token_adapter")
    parts.erase(parts.end() - 3);
  const auto role = std::find_if(parts.begin(), parts.end(),
                                 [&](std::string_view part) { return kinds.IsRole(part); });
  if (role != parts.end()) {
    key.module = Join(std::span(parts.begin(), role));
    ReadRole(std::span(role, parts.end()), adapter_names, kinds, &key);
    return key;
  }
  // Parameters from before training: of a wrapped layer, or of a module saved beside it, which may
  // have modules of its own.
  const size_t count = parts.size();
  size_t before = count > 2 && parts[count - 2] == "base_layer" ? count - 2 : count;
  const auto original = std::find(parts.begin(), parts.end(), std::string_view("original_module"));
  if (original != parts.begin() && original != parts.end())
    before = static_cast<size_t>(original - parts.begin());
  if (before + 1 < count) {
    key.module = Join(std::span(parts).first(before));
    key.role = Join(std::span(parts).subspan(before));
    return key;
  }
  const auto wrapper = std::find(parts.begin(), parts.end(), std::string_view("modules_to_save"));
  if (wrapper != parts.end()) {
    // What follows is the adapter's name, or was cut away and a part of the module follows.
    const bool named = parts.end() - wrapper > 2 &&
                       (wrapper[1] == "default" || adapter_names.count(wrapper[1]) > 0);
    if (named) key.adapter_name = wrapper[1];
    parts.erase(wrapper, wrapper + (named ? 2 : 1));
  }
  key.module = Join(parts);
  return key;
}

AdapterKey SplitMlxKey(std::string_view name) {
  AdapterKey key;
  const size_t dot = name.rfind('.');
  const std::string_view last = name.substr(dot == std::string_view::npos ? 0 : dot + 1);
  if (last != "lora_a" && last != "lora_b" && last != "m") {
    key.module = name;
    return key;
  }
  key.module = dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
  key.role = last;
  return key;
}

AdapterKey SplitKohyaKey(std::string_view name) {
  const Parts parts = Split(name);
  auto role = parts.begin() + 1;  // after underscores there is one part only
  if (UnderscoredName(parts[0]).empty()) {
    role = std::find_if(parts.begin(), parts.end(), IsKohyaRole);
    // A name without a role keeps its last part as one, for the message that refuses it.
    if (role == parts.end()) --role;
  }
  AdapterKey key;
  key.module = Join(std::span(parts.begin(), role));
  std::span<const std::string_view> rest(role, parts.end());
  if (rest.size() > 1 && rest.back() == "weight") rest = rest.first(rest.size() - 1);
  key.role = rest.empty() ? "?" : Join(rest);
  return key;
}

std::string_view UnderscoredName(std::string_view module) {
  for (const std::string_view prefix : {"lora_unet_", "lora_te_", "lora_te1_", "lora_te2_",
                                        "lora_te3_", "lora_transformer_", "lycoris_"}) {
    if (!module.starts_with(prefix)) continue;
    module.remove_prefix(prefix.size());
    // A trained module that was the whole model has an empty name of its own in between.
    while (module.starts_with('_')) module.remove_prefix(1);
    return module;
  }
  return {};
}

KeyStyle StyleOfKeys(std::span<const WeightFile::Entry> entries, const AdapterKinds& kinds) {
  for (const WeightFile::Entry& entry : entries) {
    const std::string name = WithoutTrainingWrappers(entry.info.name);
    const Parts parts = Split(name);
    if (!UnderscoredName(parts[0]).empty()) return KeyStyle::kKohya;
    for (const std::string_view part : parts) {
      if (part == "lora_down" || part == "lora_up") return KeyStyle::kKohya;
      if (part == "lora_a" || part == "lora_b") return KeyStyle::kMlx;
      if (part == "modules_to_save" || kinds.IsRole(part)) return KeyStyle::kPeft;
    }
    if (parts[0] == "base_model") return KeyStyle::kPeft;
  }
  return KeyStyle::kUnknown;
}

}  // namespace graft::converter
