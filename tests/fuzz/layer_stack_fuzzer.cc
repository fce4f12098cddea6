// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary text to the reader of graft.json, and describes what it reads over a few tensors.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "converter/json/json.h"
#include "converter/lower/graph_builder.h"
#include "converter/lower/layer_stack/layer_stack.h"
#include "schema/generated/model_generated.h"

namespace {

using graft::OkStatus;
using graft::Status;
using graft::converter::TensorInfo;

// Tensors of ones, of the shapes that layers ask for.
class Ones final : public graft::converter::TensorSource {
 public:
  Ones() {
    using graft::converter::DType;
    infos_ = {{"a", DType::kFloat32, {2, 8}},       {"b", DType::kFloat32, {8, 2}},
              {"c", DType::kFloat32, {8, 4, 3, 3}}, {"d", DType::kFloat32, {8, 1, 3, 1}},
              {"l", DType::kFloat32, {8, 4, 5}},    {"v", DType::kFloat32, {8}},
              {"w", DType::kFloat32, {8, 8}}};
  }
  std::span<const TensorInfo> tensors() const override { return infos_; }
  const TensorInfo* Find(std::string_view name) const override {
    for (const TensorInfo& info : infos_) {
      if (info.name == name) return &info;
    }
    return nullptr;
  }
  Status ReadRows(std::string_view /*name*/, int64_t /*row_begin*/, int64_t /*row_end*/,
                  std::span<double> out) const override {
    std::fill(out.begin(), out.end(), 1.0);
    return OkStatus();
  }
  Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                      std::span<double> out) const override {
    return ReadRows(name, row_begin, row_end, out);
  }
  bool IsAdapted(std::string_view /*name*/) const override { return false; }

 private:
  std::vector<TensorInfo> infos_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace converter = graft::converter;
  const auto document = converter::JsonDocument::Parse(
      std::string_view(reinterpret_cast<const char*>(data), size), "graft.json");
  if (!document.ok()) return 0;
  const auto stack = converter::ReadLayerStack(**document);
  if (!stack.ok()) return 0;
  const Ones ones;
  const auto merged = converter::MergeInlineLoras(*stack, ones, "ones");
  if (!merged.ok()) return 0;
  const converter::TensorSource& source =
      *merged ? **merged : static_cast<const converter::TensorSource&>(ones);
  flatbuffers::FlatBufferBuilder header;
  header.ForceDefaults(true);
  converter::GraphBuilder graph(source, "ones", header);
  converter::TaskDescription task;
  if (!converter::LowerLayerStack(*stack, source, "ones", graph, &task).ok()) return 0;
  if (!graph.Finish().ok()) return 0;
  // What is described can be read.
  for (const converter::Constant& constant : graph.constants()) {
    std::vector<double> row(static_cast<size_t>(constant.row_elements()));
    if (!converter::ReadConstant(constant, source, 0, 1, row, {}).ok()) __builtin_trap();
  }
  return 0;
}
