// SPDX-License-Identifier: Apache-2.0
// The makers behind adapter_maker.h.
#include "tests/converter/adapter_maker.h"

namespace graft::converter {

void WriteAdapter(const std::filesystem::path& folder, std::string_view peft_type,
                  std::string_view settings, const SmallTensors& tensors) {
  std::filesystem::create_directories(folder);
  std::string config = "{\"peft_type\": \"";
  config.append(peft_type).append("\"");
  if (!settings.empty()) config.append(", ").append(settings);
  WriteText(folder / "adapter_config.json", config + "}");
  WriteTensors(folder / "adapter_model.safetensors", tensors);
}

Result<std::unique_ptr<MergedSource>> Merge(const std::filesystem::path& base,
                                            const std::filesystem::path& adapter) {
  GRAFT_ASSIGN_OR_RETURN(auto opened, Checkpoint::Open(base));
  const AdapterSpec spec{adapter, 1};
  return MergedSource::Open(std::move(opened), std::span(&spec, 1));
}

std::string MergeFault(const std::filesystem::path& base, const std::filesystem::path& adapter) {
  const auto merged = Merge(base, adapter);
  return merged.ok() ? "" : std::string(merged.status().message());
}

}  // namespace graft::converter
