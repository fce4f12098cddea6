// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary text to the lowerings as config.json, over the tensors of a small model of the
// family that it names. What is lowered can be read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/checkpoint/checkpoint.h"
#include "converter/json/json.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/graph_builder.h"
#include "schema/generated/model_generated.h"

namespace {

namespace converter = graft::converter;

using Checkpoints =
    std::map<std::string, std::shared_ptr<const converter::Checkpoint>, std::less<>>;

// By model_type; of several folders, the first.
const Checkpoints& Families() {
  static const Checkpoints families = [] {
    Checkpoints found;
    const std::filesystem::path folder = std::filesystem::path(GRAFT_TEST_DATA) / "architectures";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (!entry.is_directory()) continue;
      auto checkpoint = converter::Checkpoint::Open(entry.path());
      const auto config = converter::JsonDocument::Read(entry.path() / "config.json");
      if (!checkpoint.ok() || !config.ok()) continue;
      const auto type = (*config)->root().GetString("model_type");
      if (type.ok()) found.emplace(std::string(*type), std::move(*checkpoint));
    }
    if (found.empty()) std::abort();
    return found;
  }();
  return families;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto document = converter::JsonDocument::Parse(
      std::string_view(reinterpret_cast<const char*>(data), size), "config.json");
  if (!document.ok()) return 0;
  const auto lower = converter::FindLowering((*document)->root());
  if (!lower.ok()) return 0;
  const auto type = (*document)->root().GetString("model_type");
  const auto named = type.ok() ? Families().find(*type) : Families().end();
  const converter::Checkpoint& source =
      *(named == Families().end() ? Families().begin() : named)->second;
  flatbuffers::FlatBufferBuilder header;
  header.ForceDefaults(true);
  converter::GraphBuilder graph(source, "model.safetensors", header);
  converter::TaskDescription task;
  if (!(*lower)((*document)->root(), graph, &task).ok() || !graph.Finish().ok()) return 0;
  for (const converter::Constant& constant : graph.constants()) {
    if (constant.row_elements() > (1 << 20)) continue;
    std::vector<double> row(static_cast<size_t>(constant.row_elements()));
    if (!converter::ReadConstant(constant, source, 0, 1, row, {}).ok()) std::abort();
  }
  return 0;
}
