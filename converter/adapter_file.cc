// SPDX-License-Identifier: Apache-2.0
// From PEFT's key names to modules and roles.
#include "converter/adapter_file.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <system_error>

#include "converter/parallel.h"

namespace graft::converter {
namespace {

// The parts of a key that begin an adapter's own tensor; what stands before them is the module.
constexpr std::string_view kMarkers[] = {
    "lora_A",
    "lora_B",
    "lora_E",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "lora_diag",
    "hada_w1_a",
    "hada_w1_b",
    "hada_w2_a",
    "hada_w2_b",
    "hada_t1",
    "hada_t2",
    "lokr_w1",
    "lokr_w1_a",
    "lokr_w1_b",
    "lokr_w2",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
    "vera_A",
    "vera_B",
    "vera_lambda_b",
    "vera_lambda_d",
    "ia3_l",
    "oft_R",
    "boft_R",
    "boft_s",
    "token_adapter",
};

bool IsMarker(std::string_view part) {
  return std::find(std::begin(kMarkers), std::end(kMarkers), part) != std::end(kMarkers);
}

// What PEFT writes now, or what it wrote before safetensors.
std::filesystem::path FindWeights(const std::filesystem::path& folder) {
  std::filesystem::path weights = folder / "adapter_model.safetensors";
  const std::filesystem::path older = folder / "adapter_model.bin";
  std::error_code error;
  return !std::filesystem::exists(weights, error) && std::filesystem::exists(older, error)
             ? older
             : weights;
}

std::string Join(std::span<const std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    if (!text.empty()) text += '.';
    text += part;
  }
  return text;
}

std::vector<std::string_view> Split(std::string_view key) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t dot = key.find('.');
    parts.push_back(key.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    key.remove_prefix(dot + 1);
  }
}

}  // namespace

AdapterTensor SplitAdapterKey(std::string_view key) {
  // PEFT wraps the model once ("base_model") and the tuner wraps it again ("model").
  while (key.starts_with("base_model.model.")) key.remove_prefix(17);
  if (key.starts_with("base_model.")) key.remove_prefix(11);

  std::vector<std::string_view> parts = Split(key);
  AdapterTensor tensor;
  const auto marker = std::find_if(parts.begin(), parts.end(), IsMarker);
  if (marker != parts.end()) {
    tensor.module = Join(std::span(parts.begin(), marker));
    tensor.role = *marker;
    // What may follow: the adapter's own name, which some exports keep, and "weight", which says
    // nothing.
    const std::string_view last = parts.back();
    if (last == "bias") tensor.role += ".bias";
    if (last == "trainable_tokens_delta") tensor.role = "token_adapter";
    return tensor;
  }
  const size_t count = parts.size();
  if (count > 2 && parts[count - 2] == "base_layer") {
    tensor.module = Join(std::span(parts).first(count - 2));
    tensor.role = "base_layer." + std::string(parts[count - 1]);
    return tensor;
  }
  const auto wrapper = std::find(parts.begin(), parts.end(), std::string_view("modules_to_save"));
  if (wrapper != parts.end()) {
    const bool named = wrapper + 1 != parts.end() && *(wrapper + 1) == "default";
    parts.erase(wrapper, wrapper + (named ? 2 : 1));
  }
  tensor.module = Join(parts);
  return tensor;
}

const AdapterTensor* AdapterModule::Use(std::string_view role) const {
  const auto found = tensors.find(role);
  if (found == tensors.end()) return nullptr;
  found->second.used = true;
  return &found->second;
}

Result<std::unique_ptr<AdapterFile>> AdapterFile::Open(const std::filesystem::path& folder) {
  std::unique_ptr<AdapterFile> adapter(new AdapterFile);
  GRAFT_ASSIGN_OR_RETURN(adapter->config_, AdapterConfig::Read(folder));
  GRAFT_ASSIGN_OR_RETURN(ModuleRules rules, ModuleRules::Create(adapter->config_));
  adapter->rules_ = std::make_unique<ModuleRules>(std::move(rules));
  GRAFT_ASSIGN_OR_RETURN(adapter->weights_, WeightFile::Open(FindWeights(folder)));
  GRAFT_RETURN_IF_ERROR(adapter->Sort());
  GRAFT_RETURN_IF_ERROR(adapter->CheckFinite());
  return adapter;
}

Status AdapterFile::Fail(StatusCode code, const AdapterTensor& tensor,
                         const std::string& what) const {
  return Error(code, "%s: tensor '%s' %s", weights_->path().c_str(),
               tensor.entry->info.name.c_str(), what.c_str());
}

Status AdapterFile::Sort() {
  for (const WeightFile::Entry& entry : weights_->entries()) {
    AdapterTensor tensor = SplitAdapterKey(entry.info.name);
    tensor.entry = &entry;
    if (!IsFloat(entry.info.dtype)) {
      return Fail(StatusCode::kCorrupt, tensor,
                  std::string("has the element type ") + DTypeName(entry.info.dtype) +
                      "; an adapter's tensors are floating-point");
    }
    bool placed = false;
    if (tensor.role.empty()) {
      placed = replacements_.emplace(tensor.module, tensor).second;
    } else {
      AdapterModule& module = modules_[tensor.module];
      module.name = tensor.module;
      placed = module.tensors.emplace(tensor.role, tensor).second;
    }
    if (!placed)
      return Fail(StatusCode::kCorrupt, tensor,
                  "means the same place as another tensor of this file");
  }
  return OkStatus();
}

Status AdapterFile::CheckFinite() const {
  const std::span<const WeightFile::Entry> entries = weights_->entries();
  return ParallelFor(
      DefaultThreads(), static_cast<int64_t>(entries.size()), [&](int64_t index) -> Status {
        const WeightFile::Entry& entry = entries[static_cast<size_t>(index)];
        const int64_t row_elements = std::max<int64_t>(entry.info.row_elements(), 1);
        const int64_t step = std::max<int64_t>(1, 65536 / row_elements);
        std::vector<double> values;
        for (int64_t row = 0; row < entry.info.rows() && entry.size_bytes > 0; row += step) {
          const int64_t end = std::min(entry.info.rows(), row + step);
          values.resize(static_cast<size_t>((end - row) * row_elements));
          GRAFT_RETURN_IF_ERROR(weights_->ReadRows(entry, row, end, values));
          // x * 0 is 0 for every finite x and not a number otherwise.
          double poison = 0;
          for (const double value : values) poison += value * 0;
          if (poison == 0) continue;
          const auto bad = std::find_if(values.begin(), values.end(),
                                        [](double v) { return !std::isfinite(v); });
          return Error(StatusCode::kCorrupt,
                       "%s: tensor '%s' holds %s at element %lld; the adapter's training failed",
                       weights_->path().c_str(), entry.info.name.c_str(),
                       std::isnan(*bad) ? "a value that is not a number" : "an infinity",
                       static_cast<long long>(row * row_elements) + (bad - values.begin()));
        }
        return OkStatus();
      });
}

Status AdapterFile::CheckAllUsed() const {
  for (const auto& [name, module] : modules_) {
    for (const auto& [role, tensor] : module.tensors) {
      if (!tensor.used) {
        return Fail(StatusCode::kMismatch, tensor,
                    "belongs to nothing in an adapter of kind " +
                        std::string(AdapterTypeName(config_.type)));
      }
    }
  }
  for (const auto& [name, tensor] : replacements_) {
    if (!tensor.used) return Fail(StatusCode::kMismatch, tensor, "matches no tensor of the base");
  }
  return OkStatus();
}

}  // namespace graft::converter
