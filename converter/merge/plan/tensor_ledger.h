// SPDX-License-Identifier: Apache-2.0
// TensorLedger: which tensors of an adapter its planner has used; in the end it must be all.
#pragma once

#include <set>

#include "converter/adapter/adapter_file.h"

namespace graft::converter {

class TensorLedger {
 public:
  void Enter(const AdapterTensor& tensor) { used_.insert(&tensor); }
  bool Has(const AdapterTensor& tensor) const { return used_.count(&tensor) > 0; }
  bool HasAll(const AdapterModule& module) const;
  /// Errors   kMismatch naming the first tensor of `adapter` that was not used.
  Status CheckComplete(const AdapterFile& adapter) const;

 private:
  std::set<const AdapterTensor*> used_;
};

}  // namespace graft::converter
