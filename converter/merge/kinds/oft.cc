// SPDX-License-Identifier: Apache-2.0
// OFT and BOFT: the inputs of a layer are rotated, block by block.
#include <memory>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/rotation.h"

namespace graft::converter {
namespace {

constexpr std::string_view kOftRoles[] = {"oft_R"};
constexpr std::string_view kBoftRoles[] = {"boft_R", "boft_s"};

Status CheckNoConv1D(const AdapterModule& module, const AdapterTensor& stored,
                     const PlannedTensor& tensor, const AdapterPlanner& planner) {
  if (!planner.IsConv1D(module.name)) return OkStatus();
  return planner.Fail(
      StatusCode::kUnsupported, stored,
      "turns a Conv1D layer, '" + tensor.info.name + "', which PEFT does not define");
}

Status PlanOft(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterConfig& config = planner->config();
  const AdapterTensor* stored = planner->Use(module, "oft_R");
  if (stored == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *stored));
  const std::vector<int64_t>& shape = stored->entry->info.shape;
  const int64_t columns = tensor->info.row_elements();
  // n * (n - 1) / 2 numbers make a skew-symmetric matrix of side n.
  int64_t side = 1;
  while (shape.size() == 2 && side < 65536 && side * (side - 1) / 2 < shape[1]) ++side;
  const bool whole = shape.size() == 2 && shape[1] > 0 && side * (side - 1) / 2 == shape[1];
  const bool shared = config.oft_block_share && whole && shape[0] == 1;
  if (tensor->info.shape.size() < 2 || !whole || columns % side != 0 ||
      (!shared && shape[0] * side != columns)) {
    return planner->FailShape(*stored, *tensor);
  }
  GRAFT_RETURN_IF_ERROR(CheckNoConv1D(module, *stored, *tensor, *planner));
  const CayleyForm form{config.oft_cayley_neumann ? config.oft_neumann_terms : 0};
  std::vector<RotationBlocks> factors;
  factors.push_back(OftBlocks(planner->Stored(*stored), side, form));
  planner->Add(tensor,
               std::make_unique<RotateColumns>(std::move(factors), columns, StoredFactor{}));
  return planner->NoteModule(tensor, "oft", side, 0);
}

Status PlanBoft(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterTensor* stored = planner->Use(module, "boft_R");
  const AdapterTensor* scale = planner->Use(module, "boft_s");
  if (stored == nullptr || scale == nullptr) {
    return planner->Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                         "has no partner: '" + module.name + "' needs boft_R and boft_s");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *stored));
  const std::vector<int64_t>& shape = stored->entry->info.shape;
  const int64_t columns = tensor->info.row_elements();
  const bool blocks = shape.size() == 4 && shape[2] == shape[3] && shape[0] >= 1 &&
                      shape[0] <= 32 && shape[2] > 0 && shape[1] * shape[2] == columns;
  // Several factors mix halves of blocks over runs that double.
  const bool butterfly =
      blocks &&
      (shape[0] == 1 || (shape[2] % 2 == 0 && shape[1] % (int64_t{1} << (shape[0] - 1)) == 0));
  if (tensor->info.shape.size() < 2 || !butterfly) return planner->FailShape(*stored, *tensor);
  if (scale->elements() != tensor->info.rows()) return planner->FailShape(*scale, *tensor);
  GRAFT_RETURN_IF_ERROR(CheckNoConv1D(module, *stored, *tensor, *planner));
  std::vector<RotationBlocks> factors;
  for (int64_t index = 0; index < shape[0]; ++index)
    factors.push_back(BoftBlocks(planner->Stored(*stored), index));
  planner->Add(tensor, std::make_unique<RotateColumns>(std::move(factors), columns,
                                                       planner->Stored(*scale)));
  return planner->NoteModule(tensor, "boft", shape[2], 0);
}

}  // namespace

extern constinit const PlannedKind kOftKind = {{AdapterType::kOft, "OFT", "oft", kOftRoles, {}},
                                               PlanOft};
extern constinit const PlannedKind kBoftKind = {
    {AdapterType::kBoft, "BOFT", "boft", kBoftRoles, {}}, PlanBoft};

}  // namespace graft::converter
