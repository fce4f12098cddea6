// SPDX-License-Identifier: Apache-2.0
// Renames and transposes tensors; the numbers stay.
#include "tests/converter/merge/adapter_rewriter.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "converter/formats/open_weight_file.h"
#include "converter/merge/merge_checkpoint.h"
#include "converter/tensors/weight_file.h"

namespace graft::converter {
namespace {

constexpr std::string_view kWrapper = "base_model.model.";

// "a.b.lora_A.weight" as "a.b" and "lora_A".
std::pair<std::string, std::string> CutRole(std::string name) {
  REQUIRE(name.starts_with(kWrapper));
  name.erase(0, kWrapper.size());
  if (name.ends_with(".weight")) name.resize(name.size() - 7);
  const size_t dot = name.rfind('.');
  REQUIRE(dot != std::string::npos);
  return {name.substr(0, dot), name.substr(dot + 1)};
}

}  // namespace

SmallTensors StoredTensors(const std::filesystem::path& path) {
  const auto file = OpenWeightFile(path);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  SmallTensors tensors;
  for (const WeightFile::Entry& entry : (*file)->entries()) {
    SmallTensor& tensor = tensors[entry.info.name];
    tensor.shape = entry.info.shape;
    tensor.dtype = entry.info.dtype;
    tensor.values.resize(static_cast<size_t>(entry.info.rows() * entry.info.row_elements()));
    REQUIRE((*file)->ReadElements(entry, 0, tensor.values).ok());
  }
  return tensors;
}

SmallTensor Transposed(const SmallTensor& matrix) {
  REQUIRE(matrix.shape.size() == 2);
  const size_t rows = static_cast<size_t>(matrix.shape[0]);
  const size_t columns = static_cast<size_t>(matrix.shape[1]);
  SmallTensor transposed = matrix;
  std::swap(transposed.shape[0], transposed.shape[1]);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c)
      transposed.values[c * rows + r] = matrix.values[r * columns + c];
  }
  return transposed;
}

SmallTensors AsMlx(const SmallTensors& peft) {
  SmallTensors tensors;
  for (const auto& [name, tensor] : peft) {
    const auto [module, role] = CutRole(name);
    if (role == "lora_A") {
      tensors[module + ".lora_a"] = Transposed(tensor);
    } else if (role == "lora_B") {
      tensors[module + ".lora_b"] = Transposed(tensor);
    } else {
      REQUIRE(role == "lora_magnitude_vector");
      tensors[module + ".m"] = tensor;
    }
  }
  return tensors;
}

SmallTensors AsKohya(const SmallTensors& peft, std::string_view prefix, double alpha) {
  SmallTensors tensors;
  for (const auto& [name, tensor] : peft) {
    auto [module, role] = CutRole(name);
    std::replace(module.begin(), module.end(), '.', '_');
    module.insert(0, prefix);
    if (role == "lora_A") role = "lora_down.weight";
    if (role == "lora_B") role = "lora_up.weight";
    module += '.';
    tensors[module + role] = tensor;
    tensors[module + "alpha"] = {{}, {alpha}};
  }
  return tensors;
}

std::string MergedBytes(const std::filesystem::path& base, const std::filesystem::path& adapter) {
  const TemporaryFolder folder;
  MergeRequest request;
  request.base = base;
  request.adapters = {{adapter, 1}};
  request.output = folder / "merged";
  const auto report = MergeCheckpoint(request);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  return ReadBytes(folder / "merged" / "model.safetensors");
}

}  // namespace graft::converter
