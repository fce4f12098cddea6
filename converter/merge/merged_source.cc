// SPDX-License-Identifier: Apache-2.0
// Applies a MergePlan to rows.
#include "converter/merge/merged_source.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "converter/base/cancellation.h"
#include "converter/base/hub_cache.h"
#include "converter/base/parallel.h"
#include "converter/merge/base_note.h"
#include "converter/merge/kinds/adapter_kinds.h"

namespace graft::converter {
namespace {

constexpr int64_t kThresholdBlockElements = 65536;

}  // namespace

MergedSource::MergedSource(std::shared_ptr<const Checkpoint> base) : base_(std::move(base)) {}
MergedSource::~MergedSource() = default;

Result<std::unique_ptr<MergedSource>> MergedSource::Open(std::shared_ptr<const Checkpoint> base,
                                                         std::span<const AdapterSpec> adapters,
                                                         const MergeRules& rules) {
  std::unique_ptr<MergedSource> merged(new MergedSource(std::move(base)));
  merged->rules_ = rules;
  bool causal = false;
  bool headless = false;  // trained on the model without its language head
  for (const AdapterSpec& spec : adapters) {
    GRAFT_ASSIGN_OR_RETURN(
        auto adapter, AdapterFile::Open(spec.folder, AllAdapterKinds(), merged->base_->folder()));
    const std::string& task = adapter->config().task_type;
    causal = causal || task == "CAUSAL_LM" ||
             adapter->config().base_model_class.ends_with("ForCausalLM");
    headless = headless || task == "SEQ_CLS" || task == "TOKEN_CLS" || task == "FEATURE_EXTRACTION";
    merged->adapters_.push_back(std::move(adapter));
  }
  GRAFT_RETURN_IF_ERROR(merged->FindFiles(adapters));
  GRAFT_RETURN_IF_ERROR(merged->OpenStart(adapters));
  GRAFT_ASSIGN_OR_RETURN(merged->tie_,
                         TiedEmbeddings::Find(*merged->start_, merged->base_->folder(), causal));
  merged->tie_.tied = merged->tie_.tied && !headless;
  GRAFT_RETURN_IF_ERROR(merged->PlanAdapters(adapters));
  merged->Gather();
  if (rules.combine.method != CombineMethod::kSum) {
    GRAFT_RETURN_IF_ERROR(
        merged->MeasureThresholds(rules.threads > 0 ? rules.threads : DefaultThreads()));
  }
  return merged;
}

Status MergedSource::PlanAdapters(std::span<const AdapterSpec> adapters) {
  std::vector<size_t> order;
  for (size_t i = 0; i < adapters.size(); ++i) {
    const AdapterFile& adapter = *adapters_[i];
    AdapterReport& report = report_.adapters.emplace_back();
    report.name = FolderName(adapters[i].folder);
    report.kind = AdapterKindName(adapter.config());
    report.weight = adapters[i].weight;
    GRAFT_ASSIGN_OR_RETURN(report.hash, HashFiles(adapter.weights().files()));
    report.brings = brought_[i].used;
    report.unused_files = brought_[i].unused;
    report.base_note = BaseNote(adapter.config().base_model, *base_, rules_.nf4_base.has_value());
    order.push_back(i);
  }
  // Sums are rounded: the order they are added in must not be that of the command line.
  std::stable_sort(order.begin(), order.end(), [this](size_t a, size_t b) {
    return ComesBefore(report_.adapters[a], report_.adapters[b]);
  });
  std::vector<WeightedAdapter> weighted;
  weighted.reserve(order.size());
  for (const size_t i : order) weighted.push_back({adapters_[i].get(), adapters[i].weight});
  GRAFT_ASSIGN_OR_RETURN(plan_, PlanMerge(*start_, tie_, weighted));
  for (size_t place = 0; place < order.size(); ++place) {
    AdapterReport& report = report_.adapters[order[place]];
    report.modules_merged = plan_.counts[place].merged;
    report.modules_expected = plan_.counts[place].expected;
    report.missing = plan_.counts[place].missing;
  }
  return OkStatus();
}

Status MergedSource::FindFiles(std::span<const AdapterSpec> adapters) {
  std::vector<std::vector<std::filesystem::path>> folders(adapters.size());
  for (size_t i = 0; i < adapters.size(); ++i) {
    const std::filesystem::path& own = adapters_[i]->folder();
    if (!own.empty()) folders[i].push_back(own);
    // Around an adapter of its own name lies what was saved with the model.
    const std::filesystem::path& given = adapters[i].folder;
    std::error_code error;
    if (std::filesystem::is_directory(given, error) &&
        !std::filesystem::equivalent(given, own, error)) {
      folders[i].push_back(given);
    }
  }
  GRAFT_ASSIGN_OR_RETURN(companions_, FindCompanions(folders, base_->folder(), &brought_));
  return OkStatus();
}

ConfigChanges MergedSource::config_changes() const {
  ConfigChanges changes;
  changes.untie_embeddings = unties_embeddings();
  const TensorInfo* after = Find(tie_.input);
  const TensorInfo* before = base_->Find(tie_.input);
  if (before != nullptr && after != nullptr && before->rows() != after->rows()) {
    changes.vocabulary_size = after->rows();
  }
  changes.drop_quantization = !base_->stored_as().empty();
  if (replicated_ != nullptr) changes.layers = replicated_->layers();
  if (!companions_.labels.empty()) changes.labels_file = companions_.labels / "config.json";
  return changes;
}

Status MergedSource::OpenStart(std::span<const AdapterSpec> adapters) {
  start_ = base_.get();
  if (rules_.nf4_base.has_value()) {
    auto nf4 = Nf4Base::Create(*base_, *rules_.nf4_base);
    if (!nf4.ok()) return nf4.status().WithContext(base_->folder().string());
    nf4_base_ = std::move(nf4).value();
    start_ = nf4_base_.get();
  }
  for (const auto& adapter : adapters_) {
    const AdapterConfig& config = adapter->config();
    if (config.layer_replication.empty()) continue;
    if (adapters.size() > 1) {
      return Status(StatusCode::kUnsupported,
                    config.file + ": an adapter with layer_replication can only be merged alone");
    }
    auto replicated = ReplicatedLayers::Create(*start_, config.layer_replication);
    if (!replicated.ok()) return replicated.status().WithContext(config.file);
    replicated_ = std::move(replicated).value();
    start_ = replicated_.get();
  }
  return OkStatus();
}

Result<double> MergedSource::ThresholdOf(const PlannedTensor& tensor,
                                         const PlannedPart& part) const {
  const TensorInfo& info = tensor.info;
  const int64_t row_elements = std::max<int64_t>(1, info.row_elements());
  const int64_t step = std::max<int64_t>(1, kThresholdBlockElements / row_elements);
  std::vector<double> start;
  std::vector<double> changed;
  Workspace workspace;
  const VisitNumbers visit = [&](const std::function<void(std::span<const double>)>& numbers) {
    for (int64_t row = 0; row < info.rows(); row += step) {
      GRAFT_RETURN_IF_ERROR(CheckCancelled());
      const int64_t end = std::min(info.rows(), row + step);
      start.resize(static_cast<size_t>((end - row) * row_elements));
      GRAFT_RETURN_IF_ERROR(ReadStartingRows(*start_, tensor, row, end, start));
      changed = start;
      for (const auto& update : part.updates) {
        GRAFT_RETURN_IF_ERROR(update.update->ApplyRows(row, end, changed, &workspace));
      }
      for (size_t i = 0; i < changed.size(); ++i) changed[i] -= start[i];
      numbers(changed);
    }
    return OkStatus();
  };
  auto threshold =
      MagnitudeThreshold(info.rows() * info.row_elements(), rules_.combine.density, visit);
  if (!threshold.ok()) return threshold.status().WithContext("tensor '" + info.name + "'");
  return threshold;
}

Status MergedSource::MeasureThresholds(int threads) {
  std::vector<std::pair<const PlannedTensor*, const PlannedPart*>> parts;
  for (const auto& [name, tensor] : plan_.tensors) {
    if (tensor.base_name.empty() || tensor.info.rows() != StartingRows(tensor)) {
      return Error(StatusCode::kUnsupported,
                   "tensor '%s': an adapter brings rows that the base does not have, which %s "
                   "cannot prune; combine by sum",
                   name.c_str(), CombineMethodName(rules_.combine.method));
    }
    for (const PlannedPart& part : tensor.parts) parts.emplace_back(&tensor, &part);
  }
  std::vector<double> thresholds(parts.size());
  GRAFT_RETURN_IF_ERROR(
      ParallelFor(threads, static_cast<int64_t>(parts.size()), [&](int64_t i) -> Status {
        const auto& [tensor, part] = parts[static_cast<size_t>(i)];
        GRAFT_ASSIGN_OR_RETURN(thresholds[static_cast<size_t>(i)], ThresholdOf(*tensor, *part));
        return OkStatus();
      }));
  for (size_t i = 0; i < parts.size(); ++i) thresholds_.emplace(parts[i].second, thresholds[i]);
  return OkStatus();
}

const PlannedTensor* MergedSource::Planned(std::string_view name) const {
  const auto found = plan_.tensors.find(name);
  return found != plan_.tensors.end() ? &found->second : nullptr;
}

void MergedSource::Gather() {
  for (const TensorInfo& info : start_->tensors()) {
    const PlannedTensor* planned = Planned(info.name);
    infos_.push_back(planned != nullptr ? planned->info : info);
  }
  for (const auto& [name, planned] : plan_.tensors) {
    if (start_->Find(name) == nullptr) infos_.push_back(planned.info);
    report_.tensors.push_back(
        {name, planned.kind.empty() ? "untied" : planned.kind, planned.rank, planned.scale});
  }
  std::sort(infos_.begin(), infos_.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
}

const TensorInfo* MergedSource::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(infos_.begin(), infos_.end(), name,
                       [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  return found != infos_.end() && found->name == name ? &*found : nullptr;
}

const TensorReport* MergedSource::ReportOf(std::string_view name) const {
  const auto found =
      std::lower_bound(report_.tensors.begin(), report_.tensors.end(), name,
                       [](const TensorReport& t, std::string_view n) { return t.name < n; });
  return found != report_.tensors.end() && found->name == name ? &*found : nullptr;
}

const Checkpoint::Location* MergedSource::UntouchedBytes(std::string_view name) const {
  if (IsAdapted(name)) return nullptr;
  const std::string_view origin = replicated_ != nullptr ? replicated_->OriginOf(name) : name;
  if (nf4_base_ != nullptr && nf4_base_->Rounds(origin)) return nullptr;
  const Checkpoint::Location* location = base_->Locate(origin);
  return location == nullptr || location->packed != nullptr ? nullptr : location;
}

bool MergedSource::IsAdapted(std::string_view name) const { return Planned(name) != nullptr; }

Status MergedSource::CheckRange(std::string_view name, int64_t row_begin, int64_t row_end,
                                size_t room) const {
  const TensorInfo* info = Find(name);
  const std::string text(name);
  if (info == nullptr)
    return Error(StatusCode::kNotFound, "the merged model has no tensor '%s'", text.c_str());
  if (row_begin < 0 || row_end < row_begin || row_end > info->rows() ||
      room < static_cast<size_t>((row_end - row_begin) * info->row_elements())) {
    return Error(StatusCode::kOutOfRange, "tensor '%s' has %lld rows; %lld to %lld were asked for",
                 text.c_str(), static_cast<long long>(info->rows()),
                 static_cast<long long>(row_begin), static_cast<long long>(row_end));
  }
  return OkStatus();
}

bool MergedSource::WorksInPlace(const PlannedTensor& tensor) const {
  return rules_.combine.method == CombineMethod::kSum && tensor.parts.size() == 1 &&
         tensor.parts[0].weight == 1;
}

Status MergedSource::ApplyParts(const PlannedTensor& tensor, int64_t row_begin, int64_t row_end,
                                std::span<double> rows) const {
  WorkspacePool::Lease lease(&workspaces_, tensor.info.name);
  if (WorksInPlace(tensor)) {
    for (const auto& update : tensor.parts[0].updates) {
      GRAFT_RETURN_IF_ERROR(update.update->ApplyRows(row_begin, row_end, rows, lease.workspace()));
    }
    return OkStatus();
  }
  // Each adapter works on the base, and what they change is combined.
  std::vector<std::vector<double>> changed;
  std::vector<WeightedChange> changes;
  for (const PlannedPart& part : tensor.parts) {
    std::vector<double>& values = changed.emplace_back(rows.begin(), rows.end());
    for (const auto& update : part.updates) {
      GRAFT_RETURN_IF_ERROR(
          update.update->ApplyRows(row_begin, row_end, values, lease.workspace()));
    }
    for (size_t i = 0; i < rows.size(); ++i) values[i] -= rows[i];
    const auto threshold = thresholds_.find(&part);
    changes.push_back(
        {values, part.weight, threshold != thresholds_.end() ? threshold->second : 0});
  }
  AddCombined(rules_.combine.method, changes, rows);
  return OkStatus();
}

Status MergedSource::ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                              std::span<double> out) const {
  GRAFT_RETURN_IF_ERROR(CheckRange(name, row_begin, row_end, out.size()));
  const PlannedTensor* tensor = Planned(name);
  if (tensor == nullptr) return start_->ReadRows(name, row_begin, row_end, out);
  const std::span<double> rows =
      out.first(static_cast<size_t>((row_end - row_begin) * tensor->info.row_elements()));
  const bool overwritten = WorksInPlace(*tensor) && !tensor->parts[0].updates.empty() &&
                           tensor->parts[0].updates[0].update->Overwrites();
  if (!overwritten)
    GRAFT_RETURN_IF_ERROR(ReadStartingRows(*start_, *tensor, row_begin, row_end, rows));
  return ApplyParts(*tensor, row_begin, row_end, rows);
}

Status MergedSource::ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                                  std::span<double> out) const {
  GRAFT_RETURN_IF_ERROR(CheckRange(name, row_begin, row_end, out.size()));
  const PlannedTensor* tensor = Planned(name);
  if (tensor == nullptr) return start_->ReadRows(name, row_begin, row_end, out);
  return ReadRowsOfBase(
      *start_, *tensor, row_begin, row_end,
      out.first(static_cast<size_t>((row_end - row_begin) * tensor->info.row_elements())));
}

Status MergedSource::ReadRowsAndBase(std::string_view name, int64_t row_begin, int64_t row_end,
                                     std::span<double> merged, std::span<double> base) const {
  GRAFT_RETURN_IF_ERROR(CheckRange(name, row_begin, row_end, std::min(merged.size(), base.size())));
  GRAFT_RETURN_IF_ERROR(ReadBaseRows(name, row_begin, row_end, base));
  const TensorInfo* info = Find(name);
  const size_t elements = static_cast<size_t>((row_end - row_begin) * info->row_elements());
  const PlannedTensor* tensor = Planned(name);
  if (tensor != nullptr && tensor->start.entry != nullptr)
    return ReadRows(name, row_begin, row_end, merged);
  std::copy_n(base.begin(), elements, merged.begin());
  return tensor == nullptr ? OkStatus()
                           : ApplyParts(*tensor, row_begin, row_end, merged.first(elements));
}

}  // namespace graft::converter
