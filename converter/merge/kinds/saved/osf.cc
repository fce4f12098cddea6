// SPDX-License-Identifier: Apache-2.0
// OSF: the strongest directions of a weight stay, the others were trained.
#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/symmetric_eigen.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

constexpr std::string_view kKeyed[] = {"osf_svd_params"};
// The tensors are as many as were trained, so what is not stored is what stays.
constexpr Setting kSettings[] = {
    {"effective_rank", 0, SettingUse::kIgnored, ""},
    {"rank_pattern", 0, SettingUse::kIgnored, ""},
    {"target_svd_config", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// The best approximation of a matrix by `kept` of its singular directions, in place of the matrix.
// It is found from the shorter side, and from the fewer directions: those kept, or those left out.
class KeepDirections final : public RowUpdate {
 public:
  KeepDirections(const LinearLayer& layer, int64_t kept, RowReader before)
      : rows_(layer.outputs),
        columns_(layer.inputs),
        wide_(layer.outputs < layer.inputs),
        side_(std::min(layer.outputs, layer.inputs)),
        kept_(kept),
        leaves_out_(kept > side_ - kept),
        count_(leaves_out_ ? side_ - kept : kept),
        name_(layer.weight->info.name),
        before_(std::move(before)),
        directions_(static_cast<size_t>(count_ * (wide_ ? rows_ + columns_ : columns_)),
                    [this](std::span<double> out) { return Prepare(out); }) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> directions, workspace->Get(directions_));
    const size_t count = static_cast<size_t>(count_);
    const size_t width = static_cast<size_t>(columns_);
    const size_t height = static_cast<size_t>(row_end - row_begin);
    // What the rows are along each direction.
    std::vector<double> along(height * count, 0.0);
    const double* right = directions.data() + (wide_ ? count * static_cast<size_t>(rows_) : 0);
    for (size_t r = 0; r < height; ++r) {
      for (size_t k = 0; k < count; ++k) {
        double& part = along[r * count + k];
        if (wide_) {
          part = directions[k * static_cast<size_t>(rows_) + static_cast<size_t>(row_begin) + r];
          continue;
        }
        for (size_t c = 0; c < width; ++c) part += rows[r * width + c] * right[k * width + c];
      }
    }
    if (!leaves_out_) std::fill(rows.begin(), rows.end(), 0.0);
    AddLowRank(right, width, along.data(), count, height, width, count, leaves_out_ ? -1 : 1, false,
               rows.data(), width);
    return OkStatus();
  }

 private:
  // The product of the matrix with itself, over the longer side.
  Status MakeSquare(std::vector<double>* weight, std::vector<double>* square) const {
    const size_t side = static_cast<size_t>(side_);
    const size_t width = static_cast<size_t>(columns_);
    square->assign(side * side, 0.0);
    std::vector<double> turned;
    GRAFT_RETURN_IF_ERROR(
        VisitRows(before_, rows_, columns_, [&](int64_t, std::span<const double> block) {
          if (wide_) {
            weight->insert(weight->end(), block.begin(), block.end());
            return;
          }
          const size_t height = block.size() / width;
          turned.resize(block.size());
          for (size_t i = 0; i < block.size(); ++i)
            turned[i % width * height + i / width] = block[i];
          AddLowRank(block.data(), width, turned.data(), height, width, width, height, 1.0, false,
                     square->data(), side);
        }));
    if (!wide_) return OkStatus();
    turned.resize(weight->size());
    for (size_t i = 0; i < weight->size(); ++i) {
      turned[i % width * side + i / width] = (*weight)[i];
    }
    AddLowRank(turned.data(), side, weight->data(), width, side, side, width, 1.0, false,
               square->data(), side);
    return OkStatus();
  }

  // [count, rows] where the matrix is wide, then [count, columns].
  Status Prepare(std::span<double> out) const {
    std::vector<double> weight, square;
    GRAFT_RETURN_IF_ERROR(MakeSquare(&weight, &square));
    GRAFT_ASSIGN_OR_RETURN(const EigenPairs pairs,
                           EigenDecompose(std::move(square), static_cast<size_t>(side_)));
    const size_t kept = static_cast<size_t>(kept_);
    if (kept > 0 && kept < pairs.values.size()) {
      // Two alike can be told apart by nothing. What is noise beside the strongest changes nothing.
      const double noise = 1e-13 * pairs.values[0];
      if (pairs.values[kept - 1] > noise && pairs.values[kept - 1] - pairs.values[kept] <= noise) {
        return Error(StatusCode::kUnsupported,
                     "tensor '%s': its singular values %zu and %zu are the same, so nothing tells "
                     "which directions the OSF adapter left as they are",
                     name_.c_str(), kept, kept + 1);
      }
    }
    const size_t side = static_cast<size_t>(side_);
    const size_t count = static_cast<size_t>(count_);
    const double* first = pairs.vectors.data() + (leaves_out_ ? kept * side : 0);
    std::copy(first, first + count * side, out.begin());
    if (!wide_) return OkStatus();
    const size_t width = static_cast<size_t>(columns_);
    const std::span<double> image = out.subspan(count * side);
    std::fill(image.begin(), image.end(), 0.0);
    AddLowRank(weight.data(), width, out.data(), side, count, width, side, 1.0, false, image.data(),
               width);
    return OkStatus();
  }

  int64_t rows_;
  int64_t columns_;
  bool wide_;
  int64_t side_;
  int64_t kept_;
  bool leaves_out_;
  int64_t count_;
  std::string name_;
  RowReader before_;
  SharedMatrix directions_;
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* u, planner->Need(module, "osf_svd_params.U_low"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* s, planner->Need(module, "osf_svd_params.S_low"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* v, planner->Need(module, "osf_svd_params.V_low"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *u, TransposedLayers::kRefused, planner));
  const int64_t trained = s->elements();
  const int64_t side = std::min(layer.outputs, layer.inputs);
  if (!HasShape(*s, {trained}) || trained > side) return planner->FailShape(*s, *layer.weight);
  if (!HasShape(*u, {layer.outputs, trained})) return planner->FailShape(*u, *layer.weight);
  if (!HasShape(*v, {trained, layer.inputs})) return planner->FailShape(*v, *layer.weight);
  planner->Add(layer.weight, std::make_unique<KeepDirections>(layer, side - trained,
                                                              planner->ReaderSoFar(layer.weight)));
  if (trained > 0) {
    AddLowRankChange(layer,
                     WithDiagonal(ProductFactors(planner->Stored(*v), planner->Stored(*u), 1),
                                  planner->Stored(*s)),
                     planner);
  }
  return planner->NoteModule(layer.weight, "osf", trained, 1);
}

}  // namespace

extern constinit const PlannedKind kOsfKind = {
    {AdapterType::kOther, "OSF", "osf", {}, kSettings, kKeyed}, Plan};

}  // namespace graft::converter
