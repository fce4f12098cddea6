// SPDX-License-Identifier: Apache-2.0
// The places are the beginning of a permutation of all places, row by row.
#include "converter/merge/kinds/drawn/spectrum.h"

#include "converter/merge/random/torch_generator.h"

namespace graft::converter {

Status Spectrum::Read(double scale, bool transposed, std::vector<SparseNumber>* numbers) const {
  std::vector<double> stored;
  GRAFT_RETURN_IF_ERROR(ReadAll(values, &stored));
  const std::vector<int64_t> places =
      TorchGenerator(seed).PermutationStart(outputs * inputs, stored.size());
  for (size_t i = 0; i < stored.size(); ++i) {
    SparseNumber number{places[i] / inputs, places[i] % inputs, stored[i] * scale};
    if (transposed) std::swap(number.row, number.column);
    numbers->push_back(number);
  }
  return OkStatus();
}

Result<Spectrum> FindSpectrum(const AdapterTensor& values, const LinearLayer& layer,
                              AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  const int64_t count = values.elements();
  if (!HasShape(values, {count}) || count > layer.outputs * layer.inputs) {
    return planner->FailShape(values, *layer.weight);
  }
  // A setting that is not there has PEFT's default; one that is null drew without a seed.
  for (size_t i = 0; i < root.size(); ++i) {
    if (root.key(i) != "random_loc_seed" || !root.at(i).IsNull()) continue;
    return root.at(i).Fail(
        "is null: the places of the trained numbers were drawn without a seed and are in no file",
        StatusCode::kUnsupported);
  }
  Spectrum spectrum;
  spectrum.values = planner->Stored(values);
  GRAFT_ASSIGN_OR_RETURN(const int64_t seed, root.GetInt("random_loc_seed", 777));
  spectrum.seed = static_cast<uint64_t>(seed);
  spectrum.outputs = layer.outputs;
  spectrum.inputs = layer.inputs;
  return spectrum;
}

}  // namespace graft::converter
