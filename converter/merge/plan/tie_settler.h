// SPDX-License-Identifier: Apache-2.0
// TieSettler: what adapters make of an input embedding and an output head, and whether the two are
// still one matrix in the end.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "converter/adapter/adapter_file.h"
#include "converter/checkpoint/tied_embeddings.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/plan/planned_tensor.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// Plans the two sides as two matrices, adds what an adapter of a tied model does to the head by way
/// of the embedding, and in the end takes the head away again where it is the embedding. So the
/// order of the adapters does not matter.
/// Source   PEFT's forward with the adapter attached; docs/decisions/ties.md.
class TieSettler {
 public:
  /// All three must outlive this.
  TieSettler(const TensorSource& base, const TiedEmbeddings& names, PlannedTensors* tensors)
      : base_(base), names_(names), tensors_(*tensors) {}

  const TiedEmbeddings& names() const { return names_; }
  /// Whether the plan has a head of its own where the base stores none.
  bool unties() const { return unties_; }

  /// The output head as a planned tensor of its own that starts as the input embedding; null unless
  /// `module` is a head that the base has no tensor for.
  PlannedTensor* Head(std::string_view module);
  /// The planned embedding or head that `module` is; null if it is neither.
  /// Errors   as AdapterPlanner::Tensor.
  Result<PlannedTensor*> Side(std::string_view module, const AdapterTensor& user,
                              AdapterPlanner* planner);
  /// `weight` is what the adapter was trained over, in the place of all of `side`.
  /// Errors   kMismatch: it does not fit, or another adapter was trained over something else.
  Status Start(PlannedTensor* side, const AdapterTensor& weight, const AdapterPlanner& planner);
  /// Lets both sides of a tie start alike, once all adapters have said what they were trained over.
  /// Errors   those of reading.
  Status SettleStarts();

  /// Adds what the adapter does to the head by way of the embedding, once all else of it is planned.
  /// Errors   those of reading the adapter's factors.
  Status Settle(AdapterPlanner* planner);

  /// Settles the tie, once all adapters are planned.
  /// Errors   kMismatch: only one side has the rows of a grown vocabulary. Those of reading.
  Status Finish();

 private:
  PlannedTensor* Find(std::string_view name) const;
  PlannedTensor* PlanHead();
  // Whether the adapter makes the same matrix of both sides of its own accord.
  Result<bool> PartsAlike(const PlannedPart& input, const PlannedPart& head,
                          const AdapterFile& adapter) const;
  bool SidesAlike(const PlannedTensor* input, const PlannedTensor& head) const;
  Status DropUnchanged(std::string_view name);
  Status CheckRows() const;

  const TensorSource& base_;
  const TiedEmbeddings& names_;
  PlannedTensors& tensors_;
  bool unties_ = false;
};

}  // namespace graft::converter
