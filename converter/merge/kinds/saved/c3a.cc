// SPDX-License-Identifier: Apache-2.0
// C3A: the change of a weight is made of circulant blocks, each given by one vector.
#include <memory>
#include <string_view>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"c3a_kernel"};
// The kernel's shape says how large the blocks are.
constexpr Setting kSettings[] = {
    {"block_size", 0, SettingUse::kIgnored, ""},
    {"block_size_pattern", 0, SettingUse::kIgnored, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// Row m * B + p, column n * B + q gains kernel[m][n][(q - p) mod B] / columns.
// Source   Chen et al. 2024, "Parameter-Efficient Fine-Tuning via Circular Convolution".
class AddCirculants final : public RowUpdate {
 public:
  explicit AddCirculants(StoredFactor kernel) : kernel_(kernel) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* /*workspace*/) const override {
    const int64_t side = kernel_.entry->info.shape[2];
    const int64_t columns = kernel_.entry->info.row_elements();
    std::vector<double> vectors(static_cast<size_t>(columns));
    double* out = rows.data();
    for (int64_t row = row_begin; row < row_end; ++row) {
      if (row == row_begin || row % side == 0) {
        GRAFT_RETURN_IF_ERROR(
            kernel_.file->ReadElements(*kernel_.entry, row / side * columns, vectors));
      }
      for (int64_t start = 0; start < columns; start += side) {
        for (int64_t q = 0; q < side; ++q) {
          const int64_t at = (q - row % side + side) % side;
          *out++ += vectors[static_cast<size_t>(start + at)] / static_cast<double>(columns);
        }
      }
    }
    return OkStatus();
  }

 private:
  StoredFactor kernel_;
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* kernel, planner->Need(module, "c3a_kernel"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *kernel, TransposedLayers::kRefused, planner));
  const std::vector<int64_t>& shape = kernel->shape();
  if (shape.size() != 3 || shape[2] == 0 || shape[0] * shape[2] != layer.outputs ||
      shape[1] * shape[2] != layer.inputs) {
    return planner->FailShape(*kernel, *layer.weight);
  }
  planner->Add(layer.weight, std::make_unique<AddCirculants>(planner->Stored(*kernel)));
  return planner->NoteModule(layer.weight, "c3a", 0, 1);
}

}  // namespace

extern constinit const PlannedKind kC3aKind = {
    {AdapterType::kOther, "C3A", "c3a", kRoles, kSettings}, Plan};

}  // namespace graft::converter
