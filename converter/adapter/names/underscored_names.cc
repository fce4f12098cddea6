// SPDX-License-Identifier: Apache-2.0
// Names sorted backwards, so that an ending is a range.
#include "converter/adapter/names/underscored_names.h"

#include <algorithm>

namespace graft::converter {
namespace {

// An ending that more modules share than this, none of them at a dot, is not a module's name.
constexpr size_t kMaxCandidates = 10000;

std::string Reversed(std::string_view name) {
  std::string reversed(name.rbegin(), name.rend());
  std::replace(reversed.begin(), reversed.end(), '.', '_');
  return reversed;
}

}  // namespace

UnderscoredNames::UnderscoredNames(std::span<const TensorInfo> base) {
  for (const TensorInfo& info : base) {
    const std::string_view name = ModuleOfWeight(info.name);
    if (name.empty()) continue;
    modules_.push_back({Reversed(name), name});
  }
  std::sort(modules_.begin(), modules_.end(), [](const Module& a, const Module& b) {
    return a.reversed != b.reversed ? a.reversed < b.reversed : a.name < b.name;
  });
}

Result<std::string_view> UnderscoredNames::Find(std::string_view name) const {
  const std::string reversed = Reversed(name);
  const Module* exact[2] = {};
  const Module* ending[2] = {};
  size_t candidates = 0;
  for (auto it = std::lower_bound(
           modules_.begin(), modules_.end(), reversed,
           [](const Module&m, const std::string&text) { return m.reversed < text; });
       it != modules_.end() && it->reversed.starts_with(reversed); ++it) {
    if (++candidates > kMaxCandidates) break;
    const bool whole = it->name.size() == name.size();
    // A part of a module's own name is not a module.
    if (!whole && it->name[it->name.size() - name.size() - 1] != '.') continue;
    const Module** found = whole ? exact : ending;
    if (found[0] == nullptr) {
      found[0] = &*it;
    } else if (found[1] == nullptr) {
      found[1] = &*it;
    }
  }
  const Module** found = exact[0] != nullptr ? exact : ending;
  if (name.empty() || found[0] == nullptr) {
    return Error(StatusCode::kMismatch,
                 "matches nothing: no module of the base is called '%s' with underscores for its "
                 "dots; the base must be the part of the pipeline that was trained (lora_unet: the "
                 "denoiser, lora_te: a text encoder)",
                 std::string(name).c_str());
  }
  if (found[1] != nullptr) {
    return Error(StatusCode::kMismatch, "could mean the base's '%s' or '%s'",
                 std::string(found[0]->name).c_str(), std::string(found[1]->name).c_str());
  }
  return found[0]->name;
}

}  // namespace graft::converter
