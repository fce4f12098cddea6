// SPDX-License-Identifier: Apache-2.0
#include "converter/merge/kinds/expert_modules.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {
namespace {

// How a tensor of all experts and the modules of one are called.
struct Spelling {
  std::string_view joint;
  std::vector<std::string_view> parts;
};

const std::vector<Spelling>& Spellings() {
  static const std::vector<Spelling> all = {{"gate_up_proj", {"gate_proj", "up_proj"}},
                                            {"down_proj", {"down_proj"}},
                                            {"gate_up_proj", {"w1", "w3"}},
                                            {"down_proj", {"w2"}}};
  return all;
}

// Mixtral's mixture has two names.
std::vector<std::string> OwnersLike(const std::string& module) {
  std::vector<std::string> owners = {module};
  constexpr std::string_view kNames[][2] = {{".mlp.experts", ".block_sparse_moe.experts"},
                                            {".block_sparse_moe.experts", ".mlp.experts"}};
  for (const auto& [from, to] : kNames) {
    if (!module.ends_with(from)) continue;
    owners.push_back(module.substr(0, module.size() - from.size()) + std::string(to));
  }
  return owners;
}

// The factors of rows `first_row` and on of an expert. With the experts counting fastest in b's
// columns, W[e] += scale * B[:, :, e] * A[e], or its transpose.
// Shapes   a [experts * rank, in], b [out, rank * experts].
LowRankFactors FactorsOfExpert(StoredFactor a, StoredFactor b, int64_t experts, int64_t expert,
                               int64_t first_row, bool transposed, double scale) {
  LowRankFactors factors;
  const int64_t rank = a.entry->info.rows() / experts;
  const int64_t in = a.entry->info.row_elements();
  const int64_t out = b.entry->info.rows();
  factors.rank = rank;
  factors.columns = transposed ? out : in;
  factors.scale = scale;
  factors.exact_products =
      a.entry->info.dtype != DType::kFloat64 && b.entry->info.dtype != DType::kFloat64;
  // Numbers of b: row `row`, of rank k.
  const auto read_b = [b, experts, expert, rank](int64_t row, int64_t k, double* to) {
    const int64_t at = (row * rank + k) * experts + expert;
    return b.file->ReadElements(*b.entry, at, std::span(to, 1));
  };
  if (!transposed) {
    factors.read_left = [=](int64_t begin, int64_t end, std::span<double> to, Workspace*) {
      for (int64_t i = 0; i < (end - begin) * rank; ++i) {
        GRAFT_RETURN_IF_ERROR(read_b(first_row + begin + i / rank, i % rank, &to[i]));
      }
      return OkStatus();
    };
    factors.read_right = [=](std::span<double> to) {
      return a.file->ReadRows(*a.entry, expert * rank, (expert + 1) * rank, to);
    };
    return factors;
  }
  factors.read_left = [=](int64_t begin, int64_t end, std::span<double> to, Workspace*) {
    std::vector<double> line(static_cast<size_t>(end - begin));
    for (int64_t k = 0; k < rank; ++k) {
      const int64_t at = (expert * rank + k) * in + first_row + begin;
      GRAFT_RETURN_IF_ERROR(a.file->ReadElements(*a.entry, at, line));
      for (size_t row = 0; row < line.size(); ++row)
        to[row * static_cast<size_t>(rank) + static_cast<size_t>(k)] = line[row];
    }
    return OkStatus();
  };
  factors.read_right = [=](std::span<double> to) {
    for (int64_t i = 0; i < out * rank; ++i) {
      GRAFT_RETURN_IF_ERROR(read_b(i % out, i / out, &to[static_cast<size_t>(i)]));
    }
    return OkStatus();
  };
  return factors;
}

// An update of some rows of one matrix of a stack [matrices, rows, columns].
class RowsOfStack final : public RowUpdate {
 public:
  RowsOfStack(LowRankFactors factors, int64_t matrix, int64_t rows_each, int64_t first_row,
              int64_t rows)
      : update_(std::move(factors)),
        matrix_(matrix),
        rows_each_(rows_each),
        first_row_(first_row),
        rows_(rows) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    if (matrix_ < row_begin || matrix_ >= row_end) return OkStatus();
    const int64_t at = ((matrix_ - row_begin) * rows_each_ + first_row_) * update_.columns();
    return update_.ApplyRows(
        0, rows_,
        rows.subspan(static_cast<size_t>(at), static_cast<size_t>(rows_ * update_.columns())),
        workspace);
  }

 private:
  LowRankRows update_;
  int64_t matrix_, rows_each_, first_row_, rows_;
};

// The parts of `leaf` in `owner` under one spelling; none unless the base has all of them.
Result<TrainedParameter> FindParts(const std::string& owner, const Spelling& spelling,
                                   AdapterPlanner* planner) {
  TrainedParameter parameter;
  int64_t rows = 0;
  int64_t columns = 0;
  for (const std::string_view part : spelling.parts) {
    TrainedParameter::Part found = {owner + ".", "." + std::string(part)};
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info,
                           planner->BaseTensor(found.before + "0" + found.after, "weight"));
    if (info == nullptr || info->shape.size() != 2) return TrainedParameter{};
    if (columns != 0 && info->shape[1] != columns) return TrainedParameter{};
    columns = info->shape[1];
    found.rows = info->shape[0];
    rows += found.rows;
    parameter.parts.push_back(std::move(found));
  }
  int64_t experts = 1;
  while (true) {
    const TrainedParameter::Part& part = parameter.parts[0];
    GRAFT_ASSIGN_OR_RETURN(
        const TensorInfo* info,
        planner->BaseTensor(part.before + std::to_string(experts) + part.after, "weight"));
    if (info == nullptr) break;
    ++experts;
  }
  parameter.shape = {experts, rows, columns};
  return parameter;
}

// "mlp.experts.3.up_proj" as what stands before the number, the number and what comes after it.
struct ExpertName {
  std::string owner;
  int64_t expert = 0;
  std::string part;
};

std::optional<ExpertName> ExpertNameOf(std::string_view module) {
  constexpr std::string_view kExperts = "experts.";
  constexpr size_t kMostDigits = 6;
  const size_t at = module.rfind(kExperts);
  if (at == std::string_view::npos || at == 0 || module[at - 1] != '.') return std::nullopt;
  std::string_view rest = module.substr(at + kExperts.size());
  const size_t dot = rest.find('.');
  if (dot == 0 || dot == std::string_view::npos || dot > kMostDigits) return std::nullopt;
  ExpertName name;
  for (const char digit : rest.substr(0, dot)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    name.expert = 10 * name.expert + (digit - '0');
  }
  name.owner = std::string(module.substr(0, at + kExperts.size() - 1));
  name.part = std::string(rest.substr(dot + 1));
  return name;
}

// Where an expert's module lies in a stack of the base.
struct StackPlace {
  const TensorInfo* stack = nullptr;
  std::string owner;
  std::string_view joint;
  int64_t part = 0, parts = 1;
};

Result<StackPlace> FindStack(const ExpertName& name, AdapterPlanner* planner) {
  for (const Spelling& spelling : Spellings()) {
    const auto part = std::find(spelling.parts.begin(), spelling.parts.end(), name.part);
    if (part == spelling.parts.end()) continue;
    for (const std::string& owner : OwnersLike(name.owner)) {
      GRAFT_ASSIGN_OR_RETURN(const TensorInfo* stack, planner->BaseTensor(owner, spelling.joint));
      if (stack == nullptr || stack->shape.size() != 3) continue;
      return StackPlace{stack, owner, spelling.joint, part - spelling.parts.begin(),
                        static_cast<int64_t>(spelling.parts.size())};
    }
  }
  return StackPlace{};
}

}  // namespace

Result<TrainedParameter> FindParameter(const std::string& module, const std::string& leaf,
                                       AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* whole, planner->BaseTensor(module, leaf));
  if (whole != nullptr) return TrainedParameter{whole->shape, {}};
  for (const Spelling& spelling : Spellings()) {
    if (leaf != spelling.joint) continue;
    for (const std::string& owner : OwnersLike(module)) {
      GRAFT_ASSIGN_OR_RETURN(TrainedParameter found, FindParts(owner, spelling, planner));
      if (!found.shape.empty()) return found;
    }
  }
  return TrainedParameter{};
}

Status PlanSeparateExperts(const TrainedParameter& parameter, const AdapterTensor& a,
                           const AdapterTensor& b, bool transposed, double scale,
                           AdapterPlanner* planner) {
  const int64_t experts = parameter.shape[0];
  const int64_t rank = a.entry->info.rows() / experts;
  for (int64_t expert = 0; expert < experts; ++expert) {
    int64_t first_row = 0;
    for (const TrainedParameter::Part& part : parameter.parts) {
      const std::string module = part.before + std::to_string(expert) + part.after;
      GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module, "weight", a));
      if (tensor->info.shape != std::vector<int64_t>{part.rows, parameter.shape[2]})
        return planner->FailShape(a, *tensor);
      planner->Add(tensor, std::make_unique<LowRankRows>(
                               FactorsOfExpert(planner->Stored(a), planner->Stored(b), experts,
                                               expert, first_row, transposed, scale)));
      GRAFT_RETURN_IF_ERROR(planner->NoteModule(tensor, "lora", rank, scale));
      first_row += part.rows;
    }
  }
  return OkStatus();
}

Result<bool> PlanStackedExpert(const AdapterModule& module, AdapterPlanner* planner) {
  const std::optional<ExpertName> name = ExpertNameOf(module.name);
  if (!name) return false;
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* own, planner->BaseTensor(module.name, "weight"));
  if (own != nullptr) return false;
  GRAFT_ASSIGN_OR_RETURN(const StackPlace place, FindStack(*name, planner));
  if (place.stack == nullptr) return false;
  const AdapterTensor* a = planner->Use(module, "lora_A");
  const AdapterTensor* b = planner->Use(module, "lora_B");
  if (a == nullptr || b == nullptr || module.tensors.size() != 2) {
    return planner->Fail(StatusCode::kUnsupported, module.tensors.begin()->second,
                         "belongs to one expert of the base's '" + place.stack->name +
                             "', into which only pairs of lora_A and lora_B merge");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(place.owner, place.joint, *a));
  const std::vector<int64_t>& shape = tensor->info.shape;
  const int64_t rows = shape[1] / place.parts;
  const std::vector<int64_t>& a_shape = a->entry->info.shape;
  const std::vector<int64_t>& b_shape = b->entry->info.shape;
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, planner->rules().RankOf(module.pattern_name()));
  if (name->expert >= shape[0] || a_shape != std::vector<int64_t>{rank, shape[2]} ||
      b_shape != std::vector<int64_t>{rows, rank}) {
    return planner->FailShape(*a, *tensor);
  }
  GRAFT_ASSIGN_OR_RETURN(const double scale, planner->rules().ScaleOf(module.pattern_name()));
  planner->Add(tensor, std::make_unique<RowsOfStack>(
                           ProductFactors(planner->Stored(*a), planner->Stored(*b), scale),
                           name->expert, shape[1], place.part * rows, rows));
  // All experts are one tensor of the base.
  if (planner->changed().count(tensor->info.name) == 0)
    GRAFT_RETURN_IF_ERROR(planner->NoteModule(tensor, "lora", rank, scale));
  return true;
}

}  // namespace graft::converter
