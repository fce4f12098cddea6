// SPDX-License-Identifier: Apache-2.0
// Exact name, newer spelling, unique ending: in that order.
#include "converter/adapter/module_names.h"

#include <algorithm>
#include <numeric>

namespace graft::converter {
namespace {

constexpr int kMaxDroppedParts = 3;

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

// Whether a name's beginning speaks of the part of a model that sees or hears. Its layers are
// called as those of the part that reads are, and one must not be taken for the other.
bool IsPerception(std::string_view prefix) {
  constexpr std::string_view kParts[] = {"vision", "visual", "image", "audio", "speech"};
  return std::any_of(std::begin(kParts), std::end(kParts), [prefix](std::string_view part) {
    return prefix.find(part) != std::string_view::npos;
  });
}

// What stands before `rest` at the end of `name`.
std::string_view Dropped(std::string_view name, std::string_view rest) {
  return name.substr(0, name.size() - rest.size());
}

bool StartsWithDigit(std::string_view text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9';
}

}  // namespace

ModuleNames::ModuleNames(std::span<const TensorInfo> base) : base_(base), newer_(base) {
  for (const TensorInfo& info : base_) {
    std::string newer = newer_.Of(info.name);
    if (newer != info.name && Exact(newer) == nullptr)
      newer_names_.emplace(std::move(newer), &info);
  }
}

const TensorInfo* ModuleNames::Exact(std::string_view name) const {
  const auto found =
      std::lower_bound(base_.begin(), base_.end(), name,
                       [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  if (found != base_.end() && found->name == name) return &*found;
  const auto newer = newer_names_.find(name);
  return newer != newer_names_.end() ? newer->second : nullptr;
}

Result<const TensorInfo*> ModuleNames::EndingWith(std::string_view ending,
                                                  std::string_view asked) const {
  const TensorInfo* found = nullptr;
  for (const TensorInfo& info : base_) {
    if (info.name.size() <= ending.size() || !info.name.ends_with(ending) ||
        info.name[info.name.size() - ending.size() - 1] != '.') {
      continue;
    }
    if (found != nullptr) {
      return Error(StatusCode::kMismatch, "the adapter's '%s' could mean the base's '%s' or '%s'",
                   std::string(asked).c_str(), found->name.c_str(), info.name.c_str());
    }
    found = &info;
  }
  return found;
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
    if (info != nullptr) return info;
  }
  std::string_view rest = name;
  for (int dropped = 0; dropped <= kMaxDroppedParts; ++dropped) {
    if (dropped > 0) {
      const size_t dot = rest.find('.');
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
      // "0.q_proj" or "weight" alone would say too little about where it belongs.
      if (StartsWithDigit(rest) || rest.find('.') == std::string_view::npos) break;
      const bool perception = IsPerception(Dropped(name, rest));
      if (const TensorInfo* info = Exact(rest); info != nullptr && !perception) {
        prefixes->emplace("", Dropped(name, rest));
        return info;
      }
    }
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, EndingWith(rest, name));
    if (info != nullptr && (dropped == 0 || IsPerception(Dropped(name, rest)) ==
                                                IsPerception(Dropped(info->name, rest)))) {
      prefixes->emplace(Dropped(info->name, rest), Dropped(name, rest));
      return info;
    }
  }
  return static_cast<const TensorInfo*>(nullptr);
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
