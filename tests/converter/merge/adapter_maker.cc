// SPDX-License-Identifier: Apache-2.0
// The makers behind adapter_maker.h.
#include "tests/converter/merge/adapter_maker.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

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

std::string Key(std::string_view rest) { return "base_model.model." + std::string(rest); }

std::vector<double> MergedTensor(const SmallTensors& base, std::string_view type,
                                 std::string_view settings, const SmallTensors& adapter,
                                 std::string_view name) {
  const TemporaryFolder folder;
  WriteTensors(folder / "model.safetensors", base);
  WriteAdapter(folder / "adapter", type, settings, adapter);
  const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
  REQUIRE_MESSAGE(merged.ok(), merged.status().message());
  const std::vector<double> whole = ReadAll(**merged, name);
  CHECK(ReadAll(**merged, name, 1) == whole);
  CHECK(ReadAll(**merged, name, 3) == whole);
  return whole;
}

double Distance(const std::vector<double>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  double distance = 0, largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    distance = std::max(distance, std::fabs(values[i] - expected[i]));
    largest = std::max(largest, std::fabs(expected[i]));
  }
  return distance / largest;
}

}  // namespace graft::converter
