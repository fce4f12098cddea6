// SPDX-License-Identifier: Apache-2.0
// Experts of mixtures by the names of either form: a base may keep each expert by itself and its
// adapter was trained with all of them in one parameter, or the other way round.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "converter/merge/plan/adapter_planner.h"

namespace graft::converter {

/// A parameter of a module as the trained model had it.
struct TrainedParameter {
  std::vector<int64_t> shape;  ///< Empty: the base has none.
  /// Modules of an expert whose rows it is made of, one after the other: "mlp.experts.%.up_proj",
  /// with the expert's number in the middle. Empty: the base has the parameter as a whole.
  struct Part {
    std::string before, after;
    int64_t rows = 0;
  };
  std::vector<Part> parts;
};

/// `module`.`leaf` in the base.
/// Errors   kMismatch: ambiguous.
Result<TrainedParameter> FindParameter(const std::string& module, const std::string& leaf,
                                       AdapterPlanner* planner);

/// The update of every expert of a parameter [experts, rows, columns] that the base keeps apart, by
/// the factors that PEFT keeps for it. transposed: `a` counts rows.
Status PlanSeparateExperts(const TrainedParameter& parameter, const AdapterTensor& a,
                           const AdapterTensor& b, bool transposed, double scale,
                           AdapterPlanner* planner);

/// Whether `module` is one of an expert ("mlp.experts.3.up_proj") and the base keeps all experts in
/// one tensor: then its LoRA is planned.
/// Errors   kUnsupported: it has more than two factors; kMismatch: shapes.
Result<bool> PlanStackedExpert(const AdapterModule& module, AdapterPlanner* planner);

}  // namespace graft::converter
