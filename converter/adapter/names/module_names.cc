// SPDX-License-Identifier: Apache-2.0
// Exact name, newer spelling, the same name in another wrapper, unique ending: in that order.
#include "converter/adapter/names/module_names.h"

#include <algorithm>
#include <numeric>

#include "converter/tensors/training_wrappers.h"

namespace graft::converter {
namespace {

constexpr int kMaxDroppedParts = 5;
// An ending that more tensors of other parts share says nothing.
constexpr size_t kMaxCandidates = 10000;

// Levenshtein distance, given up beyond `limit`.
size_t Distance(std::string_view a, std::string_view b, size_t limit) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    size_t smallest = row[0];
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
      smallest = std::min(smallest, row[j]);
    }
    if (smallest > limit) return limit + 1;
  }
  return row[b.size()];
}

// What stands before `rest` at the end of `name`.
std::string_view Dropped(std::string_view name, std::string_view rest) {
  return name.substr(0, name.size() - rest.size());
}

bool StartsWithDigit(std::string_view text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9';
}

bool HasPart(std::string_view name, std::string_view part) {
  while (!name.empty()) {
    const size_t dot = name.find('.');
    if (name.substr(0, dot) == part) return true;
    if (dot == std::string_view::npos) return false;
    name.remove_prefix(dot + 1);
  }
  return false;
}

// A tower keeps its layers in an encoder of its own, a text model in none. What stands before the
// layers of one must not be dropped to find the other's.
bool DropsEncoder(std::string_view adapter_prefix, std::string_view base_prefix) {
  const size_t dot = adapter_prefix.find('.');
  return dot != std::string_view::npos && HasPart(adapter_prefix.substr(dot + 1), "encoder") &&
         !HasPart(base_prefix, "encoder");
}

// The ending that both names share, cut at a dot.
std::string_view SharedEnding(std::string_view a, std::string_view b) {
  const auto differ = std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend());
  const size_t shared = static_cast<size_t>(differ.first - a.rbegin());
  if (shared == a.size() && shared == b.size()) return a;
  const std::string_view ending = a.substr(a.size() - shared);
  const bool at_dot = (shared == a.size() || a[a.size() - shared - 1] == '.') &&
                      (shared == b.size() || b[b.size() - shared - 1] == '.');
  if (at_dot) return ending;
  const size_t dot = ending.find('.');
  return dot == std::string_view::npos ? std::string_view() : ending.substr(dot + 1);
}

std::string Reversed(std::string_view name) { return std::string(name.rbegin(), name.rend()); }

}  // namespace

ModuleNames::ModuleNames(std::span<const TensorInfo> base) : base_(base), newer_(base) {
  for (const TensorInfo& info : base_) {
    std::string newer = newer_.Of(info.name);
    const bool has_newer = newer != info.name && Exact(newer) == nullptr;
    unwrapped_.emplace(WithoutTextWrappers(info.name), &info);
    if (has_newer) unwrapped_.emplace(WithoutTextWrappers(newer), &info);
    if (has_newer) newer_names_.emplace(std::move(newer), &info);
    reversed_.emplace_back(Reversed(info.name), &info);
    has_module_part_ = has_module_part_ || HasPart(info.name, "module");
  }
  std::sort(reversed_.begin(), reversed_.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
}

const TensorInfo* ModuleNames::Exact(std::string_view name) const {
  const auto found =
      std::lower_bound(base_.begin(), base_.end(), name,
                       [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  if (found != base_.end() && found->name == name) return &*found;
  const auto newer = newer_names_.find(name);
  return newer != newer_names_.end() ? newer->second : nullptr;
}

ModelPart ModuleNames::PartIn(std::string_view name) const {
  // Of a model that only sees, every part does.
  return newer_.is_vision_transformer() ? ModelPart::kText : PartOf(name);
}

Result<const TensorInfo*> ModuleNames::One(const std::vector<const TensorInfo*>& found,
                                           std::string_view asked) {
  if (found.size() < 2) return found.empty() ? nullptr : found[0];
  return Error(StatusCode::kMismatch, "the adapter's '%s' could mean the base's '%s' or '%s'",
               std::string(asked).c_str(), found[0]->name.c_str(), found[1]->name.c_str());
}

std::vector<const TensorInfo*> ModuleNames::EndingWith(std::string_view ending,
                                                       std::string_view asked) const {
  std::vector<const TensorInfo*> found;
  const bool whole = ending.size() == asked.size();
  // A name that speaks of no part could be any's, unless something had to be dropped from it.
  const bool any_part = whole && PartIn(asked) == ModelPart::kText && !IsSurelyText(asked);
  const std::string key = Reversed(ending);
  size_t candidates = 0;
  for (auto it = std::lower_bound(
           reversed_.begin(), reversed_.end(), key,
           [](const auto&entry, const std::string&text) { return entry.first < text; });
       it != reversed_.end() && it->first.starts_with(key) && found.size() < 2; ++it) {
    if (++candidates > kMaxCandidates) return {};
    const std::string_view name = it->second->name;
    if (name.size() > ending.size() && name[name.size() - ending.size() - 1] != '.') continue;
    if (!any_part && PartIn(name) != PartIn(asked)) continue;
    if (DropsEncoder(Dropped(asked, ending), Dropped(name, ending))) continue;
    found.push_back(it->second);
  }
  return found;
}

std::vector<const TensorInfo*> ModuleNames::SameWithoutWrappers(std::string_view name) const {
  std::vector<const TensorInfo*> found;
  const std::string_view rest = WithoutTextWrappers(name);
  for (auto [it, end] = unwrapped_.equal_range(rest); it != end; ++it) {
    if (PartIn(it->second->name) == PartIn(name)) found.push_back(it->second);
  }
  // The layers of what sees may be called "encoder.layers" alone, as those of a text model are.
  if (found.empty() || PartIn(name) != ModelPart::kText || IsSurelyText(name)) return found;
  for (const TensorInfo* other : EndingWith(rest, rest)) {
    if (std::find(found.begin(), found.end(), other) == found.end()) found.push_back(other);
  }
  return found;
}

Result<const TensorInfo*> ModuleNames::Search(std::string_view name, NamePrefixes* prefixes) const {
  const auto learn = [&](const TensorInfo* info) {
    const std::string base_name = newer_names_.empty() ? info->name : newer_.Of(info->name);
    const std::string_view ending = SharedEnding(base_name, name);
    prefixes->emplace(Dropped(base_name, ending), Dropped(name, ending));
    return info;
  };
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* same, One(SameWithoutWrappers(name), name));
  if (same != nullptr) return learn(same);
  std::string_view rest = name;
  for (int dropped = 0; dropped <= kMaxDroppedParts; ++dropped) {
    if (dropped > 0) {
      const size_t dot = rest.find('.');
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
      // "0.q_proj" or "weight" alone would say too little about where it belongs.
      if (StartsWithDigit(rest) || rest.find('.') == std::string_view::npos) break;
      const TensorInfo* exact = Exact(rest);
      if (exact != nullptr && PartIn(exact->name) == PartIn(name) &&
          !DropsEncoder(Dropped(name, rest), "")) {
        return learn(exact);
      }
    }
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, One(EndingWith(rest, name), name));
    if (info != nullptr) return learn(info);
  }
  return static_cast<const TensorInfo*>(nullptr);
}

Result<const TensorInfo*> ModuleNames::Find(std::string_view module, std::string_view leaf,
                                            NamePrefixes* prefixes) const {
  std::string name(module);
  if (!leaf.empty()) name.append(name.empty() ? "" : ".").append(leaf);
  if (const TensorInfo* info = Exact(name); info != nullptr) return info;

  // What was learned from one module holds for the others.
  for (const auto& [base_prefix, adapter_prefix] : *prefixes) {
    if (!name.starts_with(adapter_prefix)) continue;
    const TensorInfo* info = Exact(base_prefix + name.substr(adapter_prefix.size()));
    if (info != nullptr && PartIn(info->name) == PartIn(name)) return info;
  }
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, Search(name, prefixes));
  if (info != nullptr || has_module_part_ || !HasPart(name, "module")) return info;
  // PyTorch's parallel classes wrap modules too, under a name that a model could have of itself.
  const std::string unwrapped = WithoutParallelWrappers(name);
  if (const TensorInfo* exact = Exact(unwrapped); exact != nullptr) return exact;
  return Search(unwrapped, prefixes);
}

std::string ModuleNames::AdapterNameOf(std::string_view name, const NamePrefixes& prefixes) const {
  std::string text = newer_.Of(name);
  // The longest base prefix that was seen speaks for the tensors under it.
  for (auto it = prefixes.rbegin(); it != prefixes.rend(); ++it) {
    if (text.starts_with(it->first)) return it->second + text.substr(it->first.size());
  }
  return text;
}

std::string ModuleNames::Nearest(std::string_view name) const {
  std::string nearest;
  size_t best = 1 + name.size() / 2;
  for (const TensorInfo& info : base_) {
    const size_t distance = Distance(info.name.substr(0, 300), name.substr(0, 300), best - 1);
    if (distance < best) {
      best = distance;
      nearest = info.name;
      if (best == 0) break;
    }
  }
  return nearest;
}

}  // namespace graft::converter
