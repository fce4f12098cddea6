// SPDX-License-Identifier: Apache-2.0
// MergePlan: which tensors the merged model has and, for each, the steps that lead there from the
// base.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_file.h"
#include "converter/adapter/module_names.h"
#include "converter/adapter/underscored_names.h"
#include "converter/checkpoint/tied_embeddings.h"
#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// What one adapter does to one tensor.
struct PlannedPart {
  size_t adapter = 0;  ///< Which adapter, in the order given.
  double weight = 1;
  double threshold = 0;  ///< Changes of a smaller magnitude are pruned; see CombineRule.
  std::vector<std::unique_ptr<RowUpdate>> updates;
};

struct PlannedTensor {
  TensorInfo info;        ///< As the merged model has it.
  std::string base_name;  ///< The base tensor it starts from; empty if it starts from zeros.
  int64_t base_rows = 0;  ///< Rows the base has; further rows start from zeros.
  std::vector<PlannedPart> parts;
  std::string kind;  ///< "lora", "dora", "saved", ...
  int64_t rank = 0;
  double scale = 0;
};

/// How many modules an adapter changed, and how many its configuration asked for.
struct ModuleCount {
  int64_t merged = 0;
  int64_t expected = 0;
  std::vector<std::string> missing;  ///< Targeted base tensors the adapter has nothing for.
};

/// Collects what the adapters do. Planning reads headers, shapes and configurations, no weights.
class MergePlan {
 public:
  /// `base` and `tie` must outlive the plan.
  MergePlan(const TensorSource& base, const TiedEmbeddings& tie);

  /// Plans one more adapter, which must outlive the plan.
  /// Errors   kMismatch: a tensor of the adapter matches nothing, matches several, does not fit, or
  ///          is left over.
  ///          kUnsupported: the adapter changes something that cannot be merged. Messages name file
  ///          and tensor.
  Status Add(const AdapterFile& adapter, double weight);

  const std::map<std::string, std::unique_ptr<PlannedTensor>, std::less<>>& tensors() const {
    return tensors_;
  }
  const std::vector<ModuleCount>& counts() const { return counts_; }
  bool unties_embeddings() const { return unties_embeddings_; }

  // For the planners of the kinds of adapter (plan_*.cc):

  const AdapterFile& adapter() const { return *adapter_; }
  const TensorSource& base() const { return *base_; }
  /// The planned tensor for `module`.`leaf`, with a part for the current adapter. A module that is
  /// a tied output head becomes a tensor of its own.
  /// Errors   kMismatch: the base has no such tensor; `user` is the adapter's tensor that asks.
  Result<PlannedTensor*> Tensor(std::string_view module, std::string_view leaf,
                                const AdapterTensor& user);
  /// Says that the current adapter trained rows `indices` of `tensor`; a tied head follows its
  /// input embedding. `indices` must outlive the plan.
  void NoteTokens(const PlannedTensor& tensor, const AdapterTensor& values,
                  const std::vector<int64_t>& indices);
  /// The part of the current adapter.
  PlannedPart& Part(PlannedTensor* tensor);
  /// Reads rows of `tensor` as the next update of the current adapter will find them.
  RowReader ReaderSoFar(const PlannedTensor* tensor) const;
  /// Counts a module as merged and notes what was done for the report.
  /// Errors   kMismatch: done twice.
  Status NoteModule(PlannedTensor* tensor, std::string kind, int64_t rank, double scale);
  /// The planned tensor as Tensor gives it, or null where the base has none.
  Result<PlannedTensor*> TensorIfThere(std::string_view module, std::string_view leaf);
  /// The base tensor for `module`.`leaf`; null if there is none.
  /// Errors   kMismatch: ambiguous.
  Result<const TensorInfo*> BaseTensor(std::string_view module, std::string_view leaf) const {
    return names_.Find(module, leaf);
  }
  /// The base's module whose name with underscores for dots is `name`.
  /// Errors   kMismatch: none, or several; `user` is the adapter's tensor that asks.
  Result<std::string> UnderscoredModule(std::string_view name, const AdapterTensor& user);
  /// Whether a module is one of GPT-2's Conv1D layers, which keep [in_features, out_features]: by
  /// its name, and by the biases of its relatives, which have one number for each output.
  bool IsConv1D(std::string_view module) const;
  /// Whether a base weight is stored [in_features, out_features], as the Conv1D layers of GPT-2
  /// are, when it is asked to hold out_features x in_features.
  /// Errors   kMismatch naming the tensor and both shapes, if it can hold neither.
  Result<bool> IsTransposed(const PlannedTensor& tensor, std::string_view module,
                            int64_t out_features, int64_t in_features,
                            const AdapterTensor& user) const;

 private:
  // The output head as a tensor of its own, if `module` is one and the base has none; else null.
  Result<PlannedTensor*> TiedHead(std::string_view module);
  Status Replace(PlannedTensor* tensor, std::string_view module, const AdapterTensor& by);
  Status AddReplacements();
  // The weight and bias of a wrapped layer that were saved beside its adapter.
  Status AddBaseLayer(const AdapterModule& module);
  // Whether the current adapter changes the tensor of that name; the tensor if it does.
  PlannedTensor* ChangedHere(std::string_view name) const;
  // Gives a tied head a matrix of its own where the adapter changed one side only, and takes it
  // away again where both sides are the same.
  // Source   PEFT's forward with the adapter attached.
  Status SettleTie();
  // Whether this adapter, and no other, makes the same matrix of both sides.
  Result<bool> SidesAlike(const PlannedTensor& input, const PlannedTensor& head) const;
  Result<bool> FactorsAlike() const;
  Status CheckReplacement(const PlannedTensor& tensor, std::string_view module,
                          const AdapterTensor& by) const;
  Status CountModules();
  Status PlanAll();
  Status PlanModule(const AdapterModule& module);
  PlannedTensor* Plan(const TensorInfo& base_info);

  const TensorSource* base_;
  const TiedEmbeddings* tie_;
  ModuleNames names_;
  std::unique_ptr<UnderscoredNames> underscored_names_;  // once an adapter needs it
  std::map<std::string, std::unique_ptr<PlannedTensor>, std::less<>> tensors_;
  std::vector<ModuleCount> counts_;
  bool unties_embeddings_ = false;

  // Trained rows of a tied input embedding.
  struct TiedTokens {
    size_t adapter;
    double weight;
    StoredFactor values;
    const std::vector<int64_t>* indices;
  };
  std::vector<TiedTokens> tied_tokens_;

  // The adapter being planned.
  const AdapterFile* adapter_ = nullptr;
  double weight_ = 1;
  std::set<std::string, std::less<>> merged_modules_;  // by planned tensor
  const AdapterTensor* tied_weight_ = nullptr;         // a wrapped embedding's or head's, if tied
  const AdapterTensor* input_saved_ = nullptr;         // whole, in place of the input embedding
  const AdapterTensor* head_saved_ = nullptr;
  bool head_has_tokens_ = false;
};

/// Reads the rows a planned tensor starts from: the base's, and zeros beyond them.
Status ReadStartingRows(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                        int64_t row_end, std::span<double> out);

/// The planners, one for each kind. Each uses the tensors of `module` it understands and leaves the
/// others unticked.
Status PlanLora(const AdapterModule& module, MergePlan* plan);
Status PlanParameter(const AdapterModule& module, MergePlan* plan);
Status PlanTokens(const AdapterModule& module, MergePlan* plan);
Status PlanAdaLora(const AdapterModule& module, MergePlan* plan);
Status PlanVera(const AdapterModule& module, MergePlan* plan);
Status PlanLoHa(const AdapterModule& module, MergePlan* plan);
Status PlanLoKr(const AdapterModule& module, MergePlan* plan);
Status PlanIa3(const AdapterModule& module, MergePlan* plan);
Status PlanOft(const AdapterModule& module, MergePlan* plan);
Status PlanBoft(const AdapterModule& module, MergePlan* plan);
Status PlanMlx(const AdapterModule& module, MergePlan* plan);
Status PlanKohya(const AdapterModule& module, MergePlan* plan);

/// LoHa and LoKr for planners that know the module by another name, `base_module`, or their own
/// `scale`; `rank` is what the report says.
Status MergeLoHa(const AdapterModule& module, std::string_view base_module, double scale,
                 MergePlan* plan);
Status MergeLoKr(const AdapterModule& module, std::string_view base_module, int64_t rank,
                 double scale, MergePlan* plan);

}  // namespace graft::converter
