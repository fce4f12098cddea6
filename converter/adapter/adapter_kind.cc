// SPDX-License-Identifier: Apache-2.0
// Short lists, searched from the front.
#include "converter/adapter/adapter_kind.h"

#include <utility>

namespace graft::converter {

AdapterKinds::AdapterKinds(std::vector<const AdapterKind*> kinds,
                           std::span<const RefusedKind> refused)
    : kinds_(std::move(kinds)), refused_(refused) {
  for (const AdapterKind* kind : kinds_) {
    if (kind->peft_type.empty()) continue;
    roles_.insert(kind->roles.begin(), kind->roles.end());
    roles_.insert(kind->keyed_roles.begin(), kind->keyed_roles.end());
    keyed_.insert(kind->keyed_roles.begin(), kind->keyed_roles.end());
  }
}

const AdapterKind* AdapterKinds::Find(std::string_view peft_type) const {
  for (const AdapterKind* kind : kinds_) {
    if (!peft_type.empty() && kind->peft_type == peft_type) return kind;
  }
  return nullptr;
}

const AdapterKind& AdapterKinds::Of(AdapterType type) const {
  size_t index = 0;
  while (kinds_[index]->type != type) ++index;
  return *kinds_[index];
}

std::string_view AdapterKinds::WhyRefused(std::string_view peft_type) const {
  for (const RefusedKind& kind : refused_) {
    if (kind.peft_type == peft_type) return kind.reason;
  }
  return {};
}

}  // namespace graft::converter
