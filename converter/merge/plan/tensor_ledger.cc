// SPDX-License-Identifier: Apache-2.0
// A set of tensors, held against those of the file.
#include "converter/merge/plan/tensor_ledger.h"

#include <algorithm>
#include <string>

namespace graft::converter {

bool TensorLedger::HasAll(const AdapterModule& module) const {
  return std::all_of(module.tensors.begin(), module.tensors.end(),
                     [this](const auto& tensor) { return used_.count(&tensor.second) > 0; });
}

Status TensorLedger::CheckComplete(const AdapterFile& adapter) const {
  for (const auto& [name, module] : adapter.modules()) {
    for (const auto& [role, tensor] : module.tensors) {
      if (used_.count(&tensor) == 0) {
        return adapter.Fail(
            StatusCode::kMismatch, tensor,
            "belongs to nothing in an adapter of kind " + AdapterKindName(adapter.config()));
      }
    }
  }
  for (const auto& [name, tensor] : adapter.replacements()) {
    if (used_.count(&tensor) == 0) {
      return adapter.Fail(StatusCode::kMismatch, tensor, "matches no tensor of the base");
    }
  }
  return OkStatus();
}

}  // namespace graft::converter
