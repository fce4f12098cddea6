// SPDX-License-Identifier: Apache-2.0
// MergePlan: which tensors the merged model has and, for each, the steps that lead there from the
// base.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "converter/adapter/adapter_file.h"
#include "converter/checkpoint/tied_embeddings.h"
#include "converter/merge/plan/planned_tensor.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// How many modules an adapter changed, and how many its configuration asked for.
struct ModuleCount {
  int64_t merged = 0;
  int64_t expected = 0;
  std::vector<std::string> missing;  ///< Targeted base tensors the adapter has nothing for.
};

struct MergePlan {
  PlannedTensors tensors;           ///< Those that an adapter changes or adds.
  std::vector<ModuleCount> counts;  ///< For each adapter.
  bool unties_embeddings = false;   ///< The head has a matrix of its own where the base ties it.
};

struct WeightedAdapter {
  const AdapterFile* file = nullptr;
  double weight = 1;
};

/// Plans what the adapters do, one after another. Reads headers, shapes and configurations; of the
/// weights only those that show whether a tie holds. `base` and the adapters must outlive the plan.
/// Errors   kMismatch: a tensor of an adapter matches nothing, matches several, does not fit, or is
///          left over.
///          kUnsupported: an adapter changes something that cannot be merged. Messages name file
///          and tensor.
Result<MergePlan> PlanMerge(const TensorSource& base, const TiedEmbeddings& tie,
                            std::span<const WeightedAdapter> adapters);

}  // namespace graft::converter
