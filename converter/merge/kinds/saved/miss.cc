// SPDX-License-Identifier: Apache-2.0
// MiSS, which was Bone before: one small matrix is repeated over all columns of a weight.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {
namespace {

constexpr std::string_view kMissRoles[] = {"miss_block"};
constexpr std::string_view kBoneRoles[] = {"bone_block"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"init_weights", 0, SettingUse::kRead, ""},  // which form it takes
    {"mini_r", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"miss_dropout", 0, SettingUse::kIgnored, ""},
};

// W[a][c] += block[c mod rank][a mod width].
// Source   Kang and Yin 2024, "MiSS: Revisiting the Trade-off in LoRA with an Efficient
//          Shard-Sharing Structure".
class AddShards final : public RowUpdate {
 public:
  AddShards(StoredFactor block, int64_t columns)
      : rank_(static_cast<size_t>(block.entry->info.rows())),
        width_(static_cast<size_t>(block.entry->info.row_elements())),
        columns_(static_cast<size_t>(columns)),
        block_(rank_ * width_, [block](std::span<double> out) {
          return block.file->ReadElements(*block.entry, 0, out);
        }) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> block, workspace->Get(block_));
    double* out = rows.data();
    for (size_t row = static_cast<size_t>(row_begin); row < static_cast<size_t>(row_end); ++row) {
      for (size_t c = 0; c < columns_; ++c) *out++ += block[c % rank_ * width_ + row % width_];
    }
    return OkStatus();
  }

 private:
  size_t rank_;
  size_t width_;
  size_t columns_;
  PreparedMatrix block_;
};

// Each block of side x side in row p of blocks: W += W * M[p] + M[p].
class MultiplyBlocks final : public RowUpdate {
 public:
  MultiplyBlocks(StoredFactor block, int64_t columns)
      : side_(static_cast<size_t>(block.entry->info.shape[2])),
        columns_(static_cast<size_t>(columns)),
        block_(block) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* /*workspace*/) const override {
    std::vector<double> matrix(side_ * side_);
    std::vector<double> before(side_);
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t side = static_cast<int64_t>(side_);
      if (row == row_begin || row % side == 0) {
        GRAFT_RETURN_IF_ERROR(
            block_.file->ReadElements(*block_.entry, row / side * side * side, matrix));
      }
      double* values = rows.data() + static_cast<size_t>(row - row_begin) * columns_;
      const double* added = matrix.data() + static_cast<size_t>(row % side) * side_;
      for (size_t start = 0; start < columns_; start += side_) {
        before.assign(values + start, values + start + side_);
        for (size_t s = 0; s < side_; ++s) {
          double sum = 0;
          for (size_t q = 0; q < side_; ++q) sum += before[q] * matrix[q * side_ + s];
          values[start + s] += sum + added[s];
        }
      }
    }
    return OkStatus();
  }

 private:
  size_t side_;
  size_t columns_;
  StoredFactor block_;
};

Status PlanBlock(const AdapterModule& module, std::string_view role, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* block, planner->Need(module, role));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *block, TransposedLayers::kRefused, planner));
  std::string form;
  if (root.Find("init_weights").IsString()) {
    GRAFT_ASSIGN_OR_RETURN(form, root.GetString("init_weights"));
  }
  const std::vector<int64_t>& shape = block->shape();
  const StoredFactor stored = planner->Stored(*block);
  const char* kind = planner->config().kind->name;
  if (form == "bat") {
    const int64_t side = shape.size() == 3 ? shape[2] : 0;
    if (side == 0 || layer.outputs % side != 0 || layer.inputs % side != 0 ||
        !HasShape(*block, {layer.outputs / side, side, side})) {
      return planner->FailShape(*block, *layer.weight);
    }
    planner->Add(layer.weight, std::make_unique<MultiplyBlocks>(stored, layer.inputs));
    return planner->NoteModule(layer.weight, kind, side, 1);
  }
  if (!form.empty() && form != "mini") {
    return root.Find("init_weights")
        .Fail("must be true, false, bat or mini", StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t mini, root.GetIntIn("mini_r", 1, 1 << 20, 1));
  const int64_t width = form == "mini" ? mini : layer.outputs;
  const int64_t rank = block->entry->info.rows();
  if (rank == 0 || layer.outputs % width != 0 || !HasShape(*block, {rank, width})) {
    return planner->FailShape(*block, *layer.weight);
  }
  planner->Add(layer.weight, std::make_unique<AddShards>(stored, layer.inputs));
  return planner->NoteModule(layer.weight, kind, rank, 1);
}

Status PlanMiss(const AdapterModule& module, AdapterPlanner* planner) {
  return PlanBlock(module, kMissRoles[0], planner);
}

Status PlanBone(const AdapterModule& module, AdapterPlanner* planner) {
  return PlanBlock(module, kBoneRoles[0], planner);
}

}  // namespace

extern constinit const PlannedKind kMissKind = {
    {AdapterType::kOther, "MISS", "miss", kMissRoles, kSettings}, PlanMiss};
extern constinit const PlannedKind kBoneKind = {
    {AdapterType::kOther, "BONE", "bone", kBoneRoles, kSettings}, PlanBone};

}  // namespace graft::converter
