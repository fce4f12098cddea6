// SPDX-License-Identifier: Apache-2.0
// TieSettler: whether a tied input embedding and output head are still one matrix after each
// adapter.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_file.h"
#include "converter/checkpoint/tied_embeddings.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/plan/planned_tensor.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// Gives a tied head a matrix of its own where an adapter changes one side only, and takes it away
/// again where both sides are the same.
/// Source   PEFT's forward with the adapter attached.
class TieSettler {
 public:
  /// All three must outlive this.
  TieSettler(const TensorSource& base, const TiedEmbeddings& names, PlannedTensors* tensors)
      : base_(base), names_(names), tensors_(*tensors) {}

  const TiedEmbeddings& names() const { return names_; }
  /// Whether the plan has a head of its own where the base has none.
  bool unties() const { return unties_; }

  /// The output head as a planned tensor of its own, with what the adapters before `adapter` taught
  /// the shared matrix; null unless `module` is a head that the base has no tensor for.
  PlannedTensor* Head(std::string_view module, size_t adapter);

  // What the planned tensors do not show of an adapter. Each is ignored unless the tensor is one of
  // the two sides.

  /// `by` took the place of all of `tensor`.
  void NoteSaved(const PlannedTensor& tensor, const AdapterTensor& by, size_t adapter);
  /// `weight` is what the layer of `tensor` had under the adapter. Embeddings and heads are saved
  /// like this unasked; where they are tied, the other side has the same weight.
  void NoteBaseLayer(const PlannedTensor& tensor, const AdapterTensor& weight, size_t adapter);
  /// The adapter trained rows `indices` of `tensor`; a tied head follows its input embedding.
  /// `indices` must outlive this.
  void NoteTokens(const PlannedTensor& tensor, StoredFactor values,
                  const std::vector<int64_t>& indices, const AdapterPlanner& planner);

  /// Settles the tie once all else of an adapter is planned.
  /// Errors   those of ReplaceTensor, and of reading the adapter's factors.
  Status Settle(AdapterPlanner* planner);

 private:
  struct Notes {
    const AdapterTensor* base_weight = nullptr;  // a wrapped embedding's or head's, if tied
    const AdapterTensor* input_saved = nullptr;  // whole, in place of the input embedding
    const AdapterTensor* head_saved = nullptr;
    bool head_has_tokens = false;
  };
  // Trained rows of a tied input embedding.
  struct TiedTokens {
    size_t adapter;
    double weight;
    StoredFactor values;
    const std::vector<int64_t>* indices;
  };

  // The tensor of that name if the adapter changes it, else null.
  PlannedTensor* ChangedBy(size_t adapter, std::string_view name) const;
  // The rows that the adapter trained; null if none.
  const TiedTokens* TokensOf(size_t adapter) const;
  // Whether the adapter, and no other, makes the same matrix of both sides.
  Result<bool> SidesAlike(const PlannedTensor& input, const PlannedTensor& head,
                          const AdapterPlanner& planner);

  const TensorSource& base_;
  const TiedEmbeddings& names_;
  PlannedTensors& tensors_;
  bool unties_ = false;
  std::vector<TiedTokens> tokens_;  // in the order of the adapters
  std::map<size_t, Notes> notes_;   // by adapter
};

}  // namespace graft::converter
