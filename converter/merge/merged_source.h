// SPDX-License-Identifier: Apache-2.0
// MergedSource: a base and its adapters seen as one model, whose rows are computed, unrounded, as
// they are asked for.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_file.h"
#include "converter/checkpoint/checkpoint.h"
#include "converter/checkpoint/config_changes.h"
#include "converter/checkpoint/nf4_base.h"
#include "converter/checkpoint/replicated_layers.h"
#include "converter/merge/combine.h"
#include "converter/merge/companions.h"
#include "converter/merge/merge_plan.h"
#include "converter/merge/merge_report.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// An adapter to merge, and how much of it.
struct AdapterSpec {
  std::filesystem::path folder;  ///< A folder or file, as AdapterFile::Open takes it.
  double weight = 1;
};

struct MergeRules {
  CombineRule combine;
  /// The base is rounded to NF4 first, as QLoRA's training saw it.
  std::optional<Nf4Options> nf4_base;
  int threads = 0;  ///< For what has to be measured beforehand; 0: all.
};

class MergedSource final : public TensorSource {
 public:
  /// Merges the adapters into `base`: W + the combination of (what each adapter makes of W) - W,
  /// all in float64. The values do not depend on threads, row blocks or the CPU. Pruning reads
  /// every change four times to find its threshold; nothing else is read here but headers.
  /// Errors   those of AdapterFile::Open, PlanMerge, Nf4Base::Create and MagnitudeThreshold;
  ///          kUnsupported: pruning a tensor whose rows an adapter adds or takes away;
  ///          kMismatch: two adapters bring different tokenizers or other files.
  static Result<std::unique_ptr<MergedSource>> Open(std::shared_ptr<const Checkpoint> base,
                                                    std::span<const AdapterSpec> adapters,
                                                    const MergeRules& rules = {});

  ~MergedSource() override;

  std::span<const TensorInfo> tensors() const override { return infos_; }
  const TensorInfo* Find(std::string_view name) const override;
  Status ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const override;
  Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                      std::span<double> out) const override;
  Status ReadRowsAndBase(std::string_view name, int64_t row_begin, int64_t row_end,
                         std::span<double> merged, std::span<double> base) const override;
  bool IsAdapted(std::string_view name) const override;

  const Checkpoint& base() const { return *base_; }
  const TiedEmbeddings& tied_embeddings() const { return tie_; }
  const MergeRules& rules() const { return rules_; }
  const MergeReport& report() const { return report_; }
  /// What was done to one tensor; null if nothing.
  const TensorReport* ReportOf(std::string_view name) const;
  /// Whether the merged model has an output head of its own, though the base's config.json ties it
  /// to the input embedding: tie_word_embeddings must become false.
  bool unties_embeddings() const { return plan_.unties_embeddings; }
  /// What the merged model's config.json has to say differently: the tie, the size of the
  /// vocabulary, the number of layers.
  ConfigChanges config_changes() const;
  /// What lies beside the adapters and takes the place of what lies beside the base.
  const Companions& companions() const { return companions_; }
  /// Where the bytes of a tensor lie in the base, if no adapter touches it; else null.
  const Checkpoint::Location* UntouchedBytes(std::string_view name) const;

 private:
  explicit MergedSource(std::shared_ptr<const Checkpoint> base);
  void Gather();
  Status FindFiles(std::span<const AdapterSpec> adapters);
  Status OpenStart(std::span<const AdapterSpec> adapters);
  Status PlanAdapters(std::span<const AdapterSpec> adapters);
  Status MeasureThresholds(int threads);
  Result<double> ThresholdOf(const PlannedTensor& tensor, const PlannedPart& part) const;
  const PlannedTensor* Planned(std::string_view name) const;
  // Whether the tensor's one adapter can work on the rows where they lie.
  bool WorksInPlace(const PlannedTensor& tensor) const;
  Status CheckRange(std::string_view name, int64_t row_begin, int64_t row_end, size_t room) const;
  Status ApplyParts(const PlannedTensor& tensor, int64_t row_begin, int64_t row_end,
                    std::span<double> rows) const;

  std::shared_ptr<const Checkpoint> base_;
  std::vector<std::unique_ptr<AdapterFile>> adapters_;
  MergeRules rules_;
  Companions companions_;
  std::vector<BroughtFiles> brought_;
  std::unique_ptr<Nf4Base> nf4_base_;
  std::unique_ptr<ReplicatedLayers> replicated_;
  const TensorSource* start_ = nullptr;  // what the adapters start from: base_ or made of it
  TiedEmbeddings tie_;
  MergePlan plan_;
  std::map<const PlannedPart*, double> thresholds_;  // if the method prunes
  std::vector<TensorInfo> infos_;
  MergeReport report_;
  mutable WorkspacePool workspaces_;  // empty but for what was worked out for the rows read last
};

}  // namespace graft::converter
