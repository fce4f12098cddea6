// SPDX-License-Identifier: Apache-2.0
// Applies a MergePlan to rows.
#include "converter/merged_source.h"

#include <algorithm>

namespace graft::converter {

MergedSource::MergedSource(std::shared_ptr<const Checkpoint> base) : base_(std::move(base)) {}
MergedSource::~MergedSource() = default;

Result<std::unique_ptr<MergedSource>> MergedSource::Open(std::shared_ptr<const Checkpoint> base,
                                                         std::span<const AdapterSpec> adapters) {
  std::unique_ptr<MergedSource> merged(new MergedSource(std::move(base)));
  bool causal = false;
  for (const AdapterSpec& spec : adapters) {
    GRAFT_ASSIGN_OR_RETURN(auto adapter, AdapterFile::Open(spec.folder));
    causal = causal || adapter->config().task_type == "CAUSAL_LM" ||
             adapter->config().base_model_class.ends_with("ForCausalLM");
    merged->adapters_.push_back(std::move(adapter));
  }
  merged->start_ = merged->base_.get();
  for (const auto& adapter : merged->adapters_) {
    const AdapterConfig& config = adapter->config();
    if (config.layer_replication.empty()) continue;
    if (adapters.size() > 1) {
      return Status(StatusCode::kUnsupported,
                    config.file + ": an adapter with layer_replication can only be merged alone");
    }
    auto replicated = ReplicatedLayers::Create(*merged->base_, config.layer_replication);
    if (!replicated.ok()) return replicated.status().WithContext(config.file);
    merged->replicated_ = std::move(replicated).value();
    merged->start_ = merged->replicated_.get();
  }
  GRAFT_ASSIGN_OR_RETURN(merged->tie_,
                         TiedEmbeddings::Find(*merged->start_, merged->base_->folder(), causal));
  merged->plan_ = std::make_unique<MergePlan>(*merged->start_, merged->tie_);
  for (size_t i = 0; i < adapters.size(); ++i) {
    const AdapterFile& adapter = *merged->adapters_[i];
    GRAFT_RETURN_IF_ERROR(merged->plan_->Add(adapter, adapters[i].weight));
    AdapterReport& report = merged->report_.adapters.emplace_back();
    const std::filesystem::path folder = adapters[i].folder.lexically_normal();
    report.name = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
    report.kind = adapter.config().use_dora ? "dora" : AdapterTypeName(adapter.config().type);
    report.weight = adapters[i].weight;
    const InputFile* file = &adapter.weights().file();
    GRAFT_ASSIGN_OR_RETURN(report.hash, HashFiles(std::span(&file, 1)));
    report.modules_merged = merged->plan_->counts()[i].merged;
    report.modules_expected = merged->plan_->counts()[i].expected;
    report.missing = merged->plan_->counts()[i].missing;
  }
  merged->unties_embeddings_ = merged->plan_->unties_embeddings();
  merged->Gather();
  return merged;
}

const PlannedTensor* MergedSource::Planned(std::string_view name) const {
  const auto found = plan_->tensors().find(name);
  return found != plan_->tensors().end() ? found->second.get() : nullptr;
}

void MergedSource::Gather() {
  for (const TensorInfo& info : start_->tensors()) {
    const PlannedTensor* planned = Planned(info.name);
    infos_.push_back(planned != nullptr ? planned->info : info);
  }
  for (const auto& [name, planned] : plan_->tensors()) {
    if (start_->Find(name) == nullptr) infos_.push_back(planned->info);
    report_.tensors.push_back(
        {name, planned->kind.empty() ? "untied" : planned->kind, planned->rank, planned->scale});
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
  return base_->Locate(replicated_ != nullptr ? replicated_->OriginOf(name) : name);
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

Status MergedSource::ApplyParts(const PlannedTensor& tensor, int64_t row_begin, int64_t row_end,
                                std::span<double> rows) const {
  // One adapter of weight 1 works in place; otherwise each works on the base and the weighted
  // differences add up.
  if (tensor.parts.size() == 1 && tensor.parts[0].weight == 1) {
    for (const auto& update : tensor.parts[0].updates) {
      GRAFT_RETURN_IF_ERROR(update->ApplyRows(row_begin, row_end, rows));
    }
    return OkStatus();
  }
  const std::vector<double> start(rows.begin(), rows.end());
  std::vector<double> changed;
  for (const PlannedPart& part : tensor.parts) {
    changed = start;
    for (const auto& update : part.updates) {
      GRAFT_RETURN_IF_ERROR(update->ApplyRows(row_begin, row_end, changed));
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const double delta = part.weight * (changed[i] - start[i]);
      if (delta != 0) rows[i] += delta;
    }
  }
  return OkStatus();
}

Status MergedSource::ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                              std::span<double> out) const {
  GRAFT_RETURN_IF_ERROR(CheckRange(name, row_begin, row_end, out.size()));
  const PlannedTensor* tensor = Planned(name);
  if (tensor == nullptr) return start_->ReadRows(name, row_begin, row_end, out);
  const std::span<double> rows =
      out.first(static_cast<size_t>((row_end - row_begin) * tensor->info.row_elements()));
  const bool overwritten = tensor->parts.size() == 1 && tensor->parts[0].weight == 1 &&
                           !tensor->parts[0].updates.empty() &&
                           tensor->parts[0].updates[0]->Overwrites();
  if (!overwritten)
    GRAFT_RETURN_IF_ERROR(ReadStartingRows(*start_, *tensor, row_begin, row_end, rows));
  return ApplyParts(*tensor, row_begin, row_end, rows);
}

Status MergedSource::ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                                  std::span<double> out) const {
  GRAFT_RETURN_IF_ERROR(CheckRange(name, row_begin, row_end, out.size()));
  const PlannedTensor* tensor = Planned(name);
  if (tensor == nullptr) return start_->ReadRows(name, row_begin, row_end, out);
  return ReadStartingRows(
      *start_, *tensor, row_begin, row_end,
      out.first(static_cast<size_t>((row_end - row_begin) * tensor->info.row_elements())));
}

Status MergedSource::ReadRowsAndBase(std::string_view name, int64_t row_begin, int64_t row_end,
                                     std::span<double> merged, std::span<double> base) const {
  GRAFT_RETURN_IF_ERROR(CheckRange(name, row_begin, row_end, std::min(merged.size(), base.size())));
  GRAFT_RETURN_IF_ERROR(ReadBaseRows(name, row_begin, row_end, base));
  const TensorInfo* info = Find(name);
  const size_t elements = static_cast<size_t>((row_end - row_begin) * info->row_elements());
  std::copy_n(base.begin(), elements, merged.begin());
  const PlannedTensor* tensor = Planned(name);
  return tensor == nullptr ? OkStatus()
                           : ApplyParts(*tensor, row_begin, row_end, merged.first(elements));
}

}  // namespace graft::converter
