// SPDX-License-Identifier: Apache-2.0
// LoHa and LoKr for every program that writes them.
#pragma once

#include <cstdint>
#include <string_view>

#include "converter/merge/plan/adapter_planner.h"

namespace graft::converter {

/// Plans `scale` times the element-wise (LoHa) or Kronecker (LoKr) product in `module` for the
/// base's `base_module`; `rank` is what the report says.
/// Errors   kCorrupt: a factor is missing.
///          kMismatch: the factors do not fit together, or their product the base.
Status AddLoHa(const AdapterModule& module, std::string_view base_module, double scale,
               AdapterPlanner* planner);
Status AddLoKr(const AdapterModule& module, std::string_view base_module, int64_t rank,
               double scale, AdapterPlanner* planner);

}  // namespace graft::converter
