// SPDX-License-Identifier: Apache-2.0
// GraLoRA: each block of a weight, of a grid of blocks, has a low-rank change of its own.
#include <memory>
#include <string_view>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"gralora_A", "gralora_B", "gralora_A_general",
                                       "gralora_B_general"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"alpha", 0, SettingUse::kRead, ""},
    {"hybrid_r", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"gralora_k", 0, SettingUse::kIgnored, ""},  // the tensors' shapes say it
    {"gralora_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// Output j * height + y, input n * width + x gains scale * the sum over t of
// A[n][x][j q + t] * B[j][n q + t][y], for q = rank / blocks.
// Source   Jung et al. 2025, "GraLoRA: Granular Low-Rank Adaptation".
class AddBlocks final : public RowUpdate {
 public:
  AddBlocks(StoredFactor a, StoredFactor b, double scale, bool transposed)
      : blocks_(static_cast<size_t>(a.entry->info.shape[0])),
        width_(static_cast<size_t>(a.entry->info.shape[1])),
        rank_(static_cast<size_t>(a.entry->info.shape[2])),
        height_(static_cast<size_t>(b.entry->info.shape[2])),
        scale_(scale),
        transposed_(transposed),
        a_(blocks_ * width_ * rank_, Reader(a)),
        b_(blocks_ * height_ * rank_, Reader(b)) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> a, workspace->Get(a_));
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> b, workspace->Get(b_));
    const size_t columns = blocks_ * (transposed_ ? height_ : width_);
    double* out = rows.data();
    for (size_t row = static_cast<size_t>(row_begin); row < static_cast<size_t>(row_end); ++row) {
      for (size_t column = 0; column < columns; ++column) {
        const double sum = transposed_ ? Sum(a, b, column, row) : Sum(a, b, row, column);
        *out++ += scale_ * sum;
      }
    }
    return OkStatus();
  }

 private:
  static PreparedMatrix::Fill Reader(StoredFactor stored) {
    return [stored](std::span<double> out) {
      return stored.file->ReadElements(*stored.entry, 0, out);
    };
  }
  double Sum(std::span<const double> a, std::span<const double> b, size_t output,
             size_t input) const {
    const size_t j = output / height_;
    const size_t n = input / width_;
    const size_t share = rank_ / blocks_;
    const double* of_a = a.data() + input * rank_ + j * share;
    const double* of_b = b.data() + (j * rank_ + n * share) * height_ + output % height_;
    double sum = 0;
    for (size_t t = 0; t < share; ++t) sum += of_a[t] * of_b[t * height_];
    return sum;
  }

  size_t blocks_;
  size_t width_;
  size_t rank_;
  size_t height_;
  double scale_;
  bool transposed_;
  PreparedMatrix a_;
  PreparedMatrix b_;
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "gralora_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "gralora_B"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *a, TransposedLayers::kTaken, planner));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, root.GetDouble("alpha", 64));
  GRAFT_ASSIGN_OR_RETURN(const int64_t general, root.GetIntIn("hybrid_r", 0, 1 << 20, 0));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, root.GetIntIn("r", 1, 1 << 20, 32));
  const int64_t blocks = a->entry->info.rows();
  if (blocks == 0 || layer.inputs % blocks != 0 || rank % blocks != 0 ||
      !HasShape(*a, {blocks, layer.inputs / blocks, rank})) {
    return planner->FailShape(*a, *layer.weight);
  }
  if (layer.outputs % blocks != 0 || !HasShape(*b, {blocks, rank, layer.outputs / blocks})) {
    return planner->FailShape(*b, *layer.weight);
  }
  const double scale = alpha / static_cast<double>(rank + general);
  planner->Add(layer.weight, std::make_unique<AddBlocks>(planner->Stored(*a), planner->Stored(*b),
                                                         scale, layer.transposed));
  if (general > 0) {
    GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a_general,
                           planner->Need(module, "gralora_A_general"));
    GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b_general,
                           planner->Need(module, "gralora_B_general"));
    if (!HasShape(*a_general, {general, layer.inputs})) {
      return planner->FailShape(*a_general, *layer.weight);
    }
    if (!HasShape(*b_general, {layer.outputs, general})) {
      return planner->FailShape(*b_general, *layer.weight);
    }
    AddLowRankChange(
        layer, ProductFactors(planner->Stored(*a_general), planner->Stored(*b_general), scale),
        planner);
  }
  return planner->NoteModule(layer.weight, "gralora", rank + general, scale);
}

}  // namespace

extern constinit const PlannedKind kGraloraKind = {
    {AdapterType::kOther, "GRALORA", "gralora", kRoles, kSettings}, Plan};

}  // namespace graft::converter
