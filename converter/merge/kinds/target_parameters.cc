// SPDX-License-Identifier: Apache-2.0
// LoRA on a bare parameter, such as the experts of a mixture held in one tensor: each expert has
// factors of its own.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "converter/merge/kinds/expert_modules.h"
#include "converter/merge/kinds/lora_parts.h"
#include "converter/merge/updates/low_rank_rows.h"
#include "converter/tensors/float_kernels.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {
namespace {

// W[e] += scale * B[:, :, e] * A[e], or its transpose where the parameter keeps inputs before
// outputs. Shapes   a [experts * rank, in_features], b [out_features, rank * experts] with the
// expert counting fastest.
class ExpertRows final : public RowUpdate {
 public:
  ExpertRows(StoredFactor a, StoredFactor b, int64_t experts, bool transposed, double scale)
      : a_(a),
        b_(b),
        experts_(static_cast<size_t>(experts)),
        rank_(static_cast<size_t>(a.entry->info.rows() / experts)),
        transposed_(transposed),
        scale_(scale) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* /*workspace*/) const override {
    const size_t in = static_cast<size_t>(a_.entry->info.row_elements());
    const size_t out = static_cast<size_t>(b_.entry->info.rows());
    std::vector<double> a(rank_ * in), b(out * rank_), line(rank_ * experts_), transposed;
    for (int64_t expert = row_begin; expert < row_end; ++expert) {
      const int64_t first = expert * static_cast<int64_t>(rank_);
      GRAFT_RETURN_IF_ERROR(
          a_.file->ReadRows(*a_.entry, first, first + static_cast<int64_t>(rank_), a));
      for (size_t o = 0; o < out; ++o) {
        GRAFT_RETURN_IF_ERROR(b_.file->ReadRows(*b_.entry, static_cast<int64_t>(o),
                                                static_cast<int64_t>(o) + 1, line));
        for (size_t k = 0; k < rank_; ++k)
          b[o * rank_ + k] = line[k * experts_ + static_cast<size_t>(expert)];
      }
      double* weight = rows.data() + static_cast<size_t>(expert - row_begin) * in * out;
      if (!transposed_) {
        AddLowRank(a.data(), in, b.data(), rank_, out, in, rank_, scale_, false, weight, in);
        continue;
      }
      // [in, out] += scale * A^T * B^T
      transposed.resize(rank_ * (in + out));
      for (size_t k = 0; k < rank_; ++k) {
        for (size_t i = 0; i < in; ++i) transposed[i * rank_ + k] = a[k * in + i];
        for (size_t o = 0; o < out; ++o) transposed[in * rank_ + k * out + o] = b[o * rank_ + k];
      }
      AddLowRank(transposed.data() + in * rank_, out, transposed.data(), rank_, in, out, rank_,
                 scale_, false, weight, out);
    }
    return OkStatus();
  }

 private:
  StoredFactor a_;
  StoredFactor b_;
  size_t experts_;
  size_t rank_;
  bool transposed_;
  double scale_;
};

// The targeted parameters of a module, as base tensors that a pair of these sizes could belong to.
Result<std::vector<std::string>> Candidates(const std::string& module, int64_t out, int64_t in,
                                            AdapterPlanner* planner) {
  std::vector<std::string> leaves;
  for (const std::string& target : planner->config().target_parameters) {
    const size_t dot = target.rfind('.');
    const std::string leaf = dot == std::string::npos ? target : target.substr(dot + 1);
    std::string name = module;
    name.append(".").append(leaf);
    if (!NameEndsWith(name, target)) continue;
    if (std::find(leaves.begin(), leaves.end(), leaf) != leaves.end()) continue;
    GRAFT_ASSIGN_OR_RETURN(const TrainedParameter found, FindParameter(module, leaf, planner));
    const std::vector<int64_t>& shape = found.shape;
    if (shape.size() < 2 || shape.size() > 3) continue;
    const int64_t rows = shape[shape.size() - 2];
    const int64_t columns = shape.back();
    if ((rows == out && columns == in) || (shape.size() == 3 && rows == in && columns == out)) {
      leaves.push_back(leaf);
    }
  }
  return leaves;
}

// A second parameter of the same module is wrapped around the first.
std::string_view OwnerOf(std::string_view module) {
  constexpr std::string_view kWrapped = ".base_layer";
  while (module.ends_with(kWrapped)) module.remove_suffix(kWrapped.size());
  return module;
}

// Whether square experts are stored [experts, in_features, out_features]: as the other parameters
// of their module are, whose shapes show it. Errors   kUnsupported: there is none.
Result<bool> IsTransposedLikeOthers(const std::string& owner, const AdapterTensor& a,
                                    AdapterPlanner* planner) {
  for (const auto& [name, module] : planner->adapter().modules()) {
    if (OwnerOf(name) != owner) continue;
    const AdapterTensor* other_a = module.Find("lora_A");
    const AdapterTensor* other_b = module.Find("lora_B");
    if (other_a == nullptr || other_b == nullptr) continue;
    const int64_t in = other_a->entry->info.row_elements();
    const int64_t out = other_b->entry->info.rows();
    if (in == out) continue;
    GRAFT_ASSIGN_OR_RETURN(const auto leaves, Candidates(owner, out, in, planner));
    if (leaves.size() != 1) continue;
    GRAFT_ASSIGN_OR_RETURN(const TrainedParameter found, FindParameter(owner, leaves[0], planner));
    if (found.shape.size() == 3) return found.shape[1] == in;
  }
  return planner->Fail(StatusCode::kUnsupported, a,
                       "updates square experts, and neither its shape nor another parameter of '" +
                           owner + "' in this adapter shows which way round they are stored");
}

}  // namespace

Status PlanParameter(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterTensor* a = planner->Use(module, "lora_A");
  const AdapterTensor* b = planner->Use(module, "lora_B");
  if (a == nullptr || b == nullptr || a->entry->info.shape.size() != 2 ||
      b->entry->info.shape.size() != 2 || a->entry->info.rows() != b->entry->info.row_elements()) {
    return planner->Fail(StatusCode::kMismatch, module.tensors.begin()->second,
                         "has no partner that fits it");
  }
  const std::string owner(OwnerOf(module.name));
  const int64_t in = a->entry->info.row_elements();
  const int64_t out = b->entry->info.rows();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> leaves,
                         Candidates(owner, out, in, planner));
  if (leaves.size() != 1) {
    return planner->Fail(StatusCode::kMismatch, *a,
                         "fits " + std::to_string(leaves.size()) +
                             " of the base's parameters that target_parameters names in '" + owner +
                             "'; it must fit one");
  }
  GRAFT_ASSIGN_OR_RETURN(const TrainedParameter parameter,
                         FindParameter(owner, leaves[0], planner));
  const std::vector<int64_t>& shape = parameter.shape;
  const int64_t experts = shape.size() == 3 ? shape[0] : 1;
  const std::string path = owner + "." + leaves[0];
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, planner->rules().RankOf(path));
  if (experts == 0 || a->entry->info.rows() != rank * experts) {
    return planner->Fail(StatusCode::kMismatch, *a,
                         "has " + std::to_string(a->entry->info.rows()) + " rows where " +
                             std::to_string(experts) + " experts of rank " + std::to_string(rank) +
                             " need as many as their product");
  }
  GRAFT_ASSIGN_OR_RETURN(const double scale, planner->rules().ScaleOf(path));
  bool transposed = shape.size() == 3 && shape[1] == in;
  if (shape.size() == 3 && in == out) {
    GRAFT_ASSIGN_OR_RETURN(transposed, IsTransposedLikeOthers(owner, *a, planner));
  }
  if (!parameter.parts.empty())
    return PlanSeparateExperts(parameter, *a, *b, transposed, scale, planner);
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(owner, leaves[0], *a));
  const StoredFactor stored_a = planner->Stored(*a);
  const StoredFactor stored_b = planner->Stored(*b);
  if (shape.size() == 2) {
    planner->Add(tensor, std::make_unique<LowRankRows>(ProductFactors(stored_a, stored_b, scale)));
  } else {
    planner->Add(tensor,
                 std::make_unique<ExpertRows>(stored_a, stored_b, experts, transposed, scale));
  }
  return planner->NoteModule(tensor, "lora", rank, scale);
}

}  // namespace graft::converter
