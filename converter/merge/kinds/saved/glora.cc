// SPDX-License-Identifier: Apache-2.0
// GLoRA: a weight is scaled and shifted, its bias too, and by what the weight makes of a vector.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {
namespace {

constexpr std::string_view kKeyed[] = {"glora_A", "glora_B", "glora_C", "glora_D", "glora_E"};
// The tensors that are there tell the forms.
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kIgnored, ""},        {"config_A_B", 0, SettingUse::kIgnored, ""},
    {"config_C", 0, SettingUse::kIgnored, ""}, {"config_D_E", 0, SettingUse::kIgnored, ""},
    {"bias", 0, SettingUse::kRead, ""},        {"init_weights", 0, SettingUse::kIgnored, ""},
};

// A matrix of [rows, columns]: a product of two factors, or stored whole, as a column, or as one
// number.
class Term {
 public:
  // The term of `module` called `name`, one of kKeyed.
  // Errors   kCorrupt: it has no form, kMismatch: one that does not fit `tensor`.
  static Result<Term> Find(const AdapterModule& module, std::string_view name, int64_t rows,
                           int64_t columns, const PlannedTensor& tensor, AdapterPlanner* planner) {
    const std::string role(name);
    Term term;
    const AdapterTensor* down = planner->Use(module, role + ".Xd");
    const AdapterTensor* up = planner->Use(module, role + ".Xu");
    if (down != nullptr && up != nullptr) {
      const int64_t rank = up->entry->info.rows();
      if (!HasShape(*down, {rows, rank})) return planner->FailShape(*down, tensor);
      if (!HasShape(*up, {rank, columns})) return planner->FailShape(*up, tensor);
      term.product_ = std::make_shared<LowRankRows>(
          ProductFactors(planner->Stored(*up), planner->Stored(*down), 1));
      term.rank_ = rank;
      return term;
    }
    const AdapterTensor* one = planner->Use(module, role + ".X");
    if (one == nullptr) one = planner->Use(module, role + ".zeros");
    if (one == nullptr) {
      return planner->Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                           "has no partner: '" + module.name + "' needs " + role);
    }
    const int64_t count = one->elements();
    if (count != 1 && count != rows && count != rows * columns) {
      return planner->FailShape(*one, tensor);
    }
    term.stored_ = planner->Stored(*one);
    return term;
  }

  int64_t rank() const { return rank_; }

  // Its rows [begin, end).
  Status ReadRows(int64_t begin, int64_t end, int64_t rows, std::span<double> out,
                  Workspace* workspace) const {
    if (product_ != nullptr) {
      std::fill(out.begin(), out.end(), 0.0);
      return product_->ApplyRows(begin, end, out, workspace);
    }
    const size_t height = static_cast<size_t>(end - begin);
    const size_t columns = height > 0 ? out.size() / height : 0;
    const int64_t stored = stored_.entry->info.rows() * stored_.entry->info.row_elements();
    // A whole matrix, also one of a single column.
    if (stored == rows * static_cast<int64_t>(columns)) {
      return stored_.file->ReadElements(*stored_.entry, begin * static_cast<int64_t>(columns), out);
    }
    std::vector<double> values(stored == 1 ? 1 : height);
    GRAFT_RETURN_IF_ERROR(
        stored_.file->ReadElements(*stored_.entry, stored == 1 ? 0 : begin, values));
    for (size_t i = 0; i < out.size(); ++i) out[i] = values[stored == 1 ? 0 : i / columns];
    return OkStatus();
  }

 private:
  std::shared_ptr<const LowRankRows> product_;
  StoredFactor stored_;
  int64_t rank_ = 0;
};

// rows += rows * scale + shift.
// Source   Chavan et al. 2023, "One-for-All: Generalized LoRA for Parameter-Efficient Fine-tuning".
class ScaleAndShift final : public RowUpdate {
 public:
  ScaleAndShift(Term scale, Term shift, int64_t row_count)
      : scale_(std::move(scale)), shift_(std::move(shift)), row_count_(row_count) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    std::vector<double> scale(rows.size());
    std::vector<double> shift(rows.size());
    GRAFT_RETURN_IF_ERROR(scale_.ReadRows(row_begin, row_end, row_count_, scale, workspace));
    GRAFT_RETURN_IF_ERROR(shift_.ReadRows(row_begin, row_end, row_count_, shift, workspace));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] += rows[i] * scale[i] + shift[i];
    return OkStatus();
  }

 private:
  Term scale_;
  Term shift_;
  int64_t row_count_;
};

// vector += weight * column.
class AddImage final : public RowUpdate {
 public:
  AddImage(const Term& column, RowReader weight, int64_t inputs)
      : weight_(std::move(weight)),
        inputs_(static_cast<size_t>(inputs)),
        column_(inputs_, [column, inputs](std::span<double> out) {
          Workspace workspace;
          return column.ReadRows(0, inputs, inputs, out, &workspace);
        }) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> column, workspace->Get(column_));
    const RowReader read = [&](int64_t begin, int64_t end, std::span<double> out, Workspace* own) {
      return weight_(row_begin + begin, row_begin + end, out, own);
    };
    return VisitRows(read, row_end - row_begin, static_cast<int64_t>(inputs_),
                     [&](int64_t first, std::span<const double> block) {
                       for (size_t at = 0; at < block.size(); at += inputs_) {
                         double sum = 0;
                         for (size_t i = 0; i < inputs_; ++i) sum += block[at + i] * column[i];
                         rows[static_cast<size_t>(first) + at / inputs_] += sum;
                       }
                     });
  }

 private:
  RowReader weight_;
  size_t inputs_;
  PreparedMatrix column_;
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterTensor& any = module.tensors.begin()->second;
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, any, TransposedLayers::kRefused, planner));
  PlannedTensor* weight = layer.weight;
  GRAFT_ASSIGN_OR_RETURN(
      Term a, Term::Find(module, "glora_A", layer.outputs, layer.inputs, *weight, planner));
  GRAFT_ASSIGN_OR_RETURN(
      Term b, Term::Find(module, "glora_B", layer.outputs, layer.inputs, *weight, planner));
  GRAFT_ASSIGN_OR_RETURN(Term c, Term::Find(module, "glora_C", layer.inputs, 1, *weight, planner));
  GRAFT_ASSIGN_OR_RETURN(Term d, Term::Find(module, "glora_D", layer.outputs, 1, *weight, planner));
  GRAFT_ASSIGN_OR_RETURN(Term e, Term::Find(module, "glora_E", layer.outputs, 1, *weight, planner));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * bias, planner->TensorIfThere(module.name, "bias"));
  if (bias != nullptr) {
    if (bias->info.shape != std::vector<int64_t>{layer.outputs}) {
      return planner->FailShape(any, *bias);
    }
    planner->Add(bias, std::make_unique<ScaleAndShift>(std::move(d), std::move(e), layer.outputs));
    planner->Add(bias, std::make_unique<AddImage>(c, planner->ReaderSoFar(weight), layer.inputs));
    if (bias->kind.empty()) bias->kind = "glora";
  }
  const int64_t rank = a.rank();
  planner->Add(weight, std::make_unique<ScaleAndShift>(std::move(a), std::move(b), layer.outputs));
  return planner->NoteModule(weight, "glora", rank, 1);
}

}  // namespace

extern constinit const PlannedKind kGloraKind = {
    {AdapterType::kOther, "GLORA", "glora", {}, kSettings, kKeyed}, Plan};

}  // namespace graft::converter
