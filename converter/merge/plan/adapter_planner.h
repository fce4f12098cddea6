// SPDX-License-Identifier: Apache-2.0
// AdapterPlanner: one adapter in work; what the planners of the kinds ask and what they plan.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/adapter/adapter_file.h"
#include "converter/adapter/names/module_names.h"
#include "converter/adapter/names/underscored_names.h"
#include "converter/merge/plan/planned_tensor.h"
#include "converter/merge/plan/tensor_ledger.h"
#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

class TieSettler;

/// What the adapters of one merge share.
struct PlanContext {
  const TensorSource* base;
  const ModuleNames* names;
  PlannedTensors* tensors;
  TieSettler* ties;
};

/// Looks the adapter's modules up in the base, hangs updates on planned tensors, and keeps the
/// ledger of the adapter's tensors. Reads headers, shapes and configurations, no weights.
class AdapterPlanner {
 public:
  /// Adapter number `index` of a merge. `adapter` and what `context` names must outlive this, and
  /// `adapter` and the base the planned tensors.
  AdapterPlanner(const PlanContext& context, size_t index, const AdapterFile& adapter,
                 double weight)
      : context_(context), index_(index), adapter_(adapter), weight_(weight) {}

  const AdapterFile& adapter() const { return adapter_; }
  const AdapterConfig& config() const { return adapter_.config(); }
  const ModuleRules& rules() const { return adapter_.rules(); }
  const TensorSource& base() const { return *context_.base; }
  TieSettler& ties() const { return *context_.ties; }
  size_t index() const { return index_; }
  double weight() const { return weight_; }
  const TensorLedger& ledger() const { return ledger_; }
  /// The base tensors that NoteModule was told of.
  const std::set<std::string, std::less<>>& changed() const { return changed_; }
  /// Those that NoteModule or NoteCovered was told of.
  bool Covers(std::string_view name) const {
    return changed_.count(name) > 0 || covered_.count(name) > 0;
  }

  // The adapter's tensors.

  /// Enters `tensor` into the ledger.
  void Use(const AdapterTensor& tensor) { ledger_.Enter(tensor); }
  /// The tensor of that role, entered into the ledger; null if there is none.
  const AdapterTensor* Use(const AdapterModule& module, std::string_view role);
  /// The same of a tensor that must be there.
  /// Errors   kCorrupt: it is not; the message names one that is.
  Result<const AdapterTensor*> Need(const AdapterModule& module, std::string_view role);
  StoredFactor Stored(const AdapterTensor& tensor) const {
    return {&adapter_.weights(), tensor.entry};
  }
  /// An error that names the adapter's file and a tensor of it.
  Status Fail(StatusCode code, const AdapterTensor& tensor, const std::string& what) const {
    return adapter_.Fail(code, tensor, what);
  }
  /// kMismatch: the shape of `tensor` does not fit that of `planned`.
  Status FailShape(const AdapterTensor& tensor, const PlannedTensor& planned) const;
  /// What to say more where an adapter has `rows` rows for `planned`, which is an embedding or head
  /// of another vocabulary; else empty.
  std::string VocabularyHint(const PlannedTensor& planned, int64_t rows) const;
  /// kMismatch: the base has no tensor `name`; the nearest is named.
  Status FailNoMatch(const AdapterTensor& tensor, const std::string& name) const;

  // The base's tensors.

  /// The base tensor for `module`.`leaf`; null if there is none.
  /// Errors   kMismatch: ambiguous.
  Result<const TensorInfo*> BaseTensor(std::string_view module, std::string_view leaf) {
    return context_.names->Find(module, leaf, &prefixes_);
  }
  /// What the adapter's program called the base tensor `name`, as far as was found out.
  std::string AdapterNameOf(std::string_view name) const {
    return context_.names->AdapterNameOf(name, prefixes_);
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

  // The plan.

  /// The planned tensor for `module`.`leaf`. A module that is a tied output head becomes a tensor
  /// of its own.
  /// Errors   kMismatch: the base has no such tensor; `user` is the adapter's tensor that asks.
  ///          kUnsupported: it does not hold floating-point numbers.
  Result<PlannedTensor*> Tensor(std::string_view module, std::string_view leaf,
                                const AdapterTensor& user);
  /// The planned tensor as Tensor gives it, or null where the base has none.
  Result<PlannedTensor*> TensorIfThere(std::string_view module, std::string_view leaf);
  /// The planned tensor that starts from that of the base.
  PlannedTensor* Plan(const TensorInfo& base_info);
  /// A tensor of that name if one is planned already, else `start` under it.
  PlannedTensor* Plan(const std::string& name, PlannedTensor&& start);
  /// Adds the adapter's next update of `tensor`.
  void Add(PlannedTensor* tensor, PlannedUpdate update);
  void Add(PlannedTensor* tensor, std::unique_ptr<RowUpdate> update) {
    Add(tensor, PlannedUpdate{UpdateRole::kLearned, std::move(update)});
  }
  /// What the adapter does to `tensor`, which may be nothing so far.
  PlannedPart& Part(PlannedTensor* tensor);
  /// Reads rows of `tensor` as the next update will find them.
  RowReader ReaderSoFar(PlannedTensor* tensor);
  /// Counts a module as merged and notes what was done for the report.
  /// Errors   kMismatch: done twice.
  Status NoteModule(PlannedTensor* tensor, std::string kind, int64_t rank, double scale);
  /// The same of a module that is a part of `tensor`, whose parts may each be changed once.
  Status NotePart(PlannedTensor* tensor, std::string_view part, std::string kind, int64_t rank,
                  double scale);
  /// Notes that the base tensor `name` stays as it is, because the kind changes another one of its
  /// module.
  void NoteCovered(std::string_view name) { covered_.emplace(name); }
  /// What a kind works out once for all modules of the adapter; null until it puts something there.
  std::shared_ptr<void>* kind_state() { return &kind_state_; }

 private:
  PlanContext context_;
  size_t index_;
  const AdapterFile& adapter_;
  double weight_;
  NamePrefixes prefixes_;
  std::optional<UnderscoredNames> underscored_names_;  // once a name asks for them
  TensorLedger ledger_;
  std::set<std::string, std::less<>> changed_;
  std::set<std::string, std::less<>> covered_;
  std::set<std::string, std::less<>> parts_;  // "tensor/part" of NotePart
  std::shared_ptr<void> kind_state_;
};

/// A planner of one kind of adapter: plans what it understands of the tensors of `module`, and
/// leaves the others out of the ledger.
using PlanModule = Status (*)(const AdapterModule& module, AdapterPlanner* planner);

}  // namespace graft::converter
