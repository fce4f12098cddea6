// SPDX-License-Identifier: Apache-2.0
// HRA: the inputs of a layer are reflected at trained planes, one after another, before the weight
// sees them.
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/row_update.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"hra_u"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"apply_GS", 0, SettingUse::kRead, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// The columns of `stored` [columns, rank] as rows of length 1; `orthogonal` to the ones before.
// Errors   kMismatch: one has no direction of its own.
Status ReadNormals(StoredFactor stored, bool orthogonal, std::span<double> out) {
  const size_t columns = static_cast<size_t>(stored.entry->info.rows());
  const size_t rank = static_cast<size_t>(stored.entry->info.row_elements());
  std::vector<double> values(columns * rank);
  GRAFT_RETURN_IF_ERROR(stored.file->ReadElements(*stored.entry, 0, values));
  const auto dot = [](std::span<const double> a, std::span<const double> b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (size_t k = 0; k < rank; ++k) {
    const std::span<double> normal = out.subspan(k * columns, columns);
    for (size_t i = 0; i < columns; ++i) normal[i] = values[i * rank + k];
    const double whole = std::sqrt(dot(normal, normal));
    for (size_t before = 0; orthogonal && before < k; ++before) {
      const std::span<const double> other = out.subspan(before * columns, columns);
      const double along = dot(other, normal);
      for (size_t i = 0; i < columns; ++i) normal[i] -= along * other[i];
    }
    // What is left of a vector that depends on those before it is noise of rounding.
    constexpr double kNoise = 1e-7;
    const double length = std::sqrt(dot(normal, normal));
    if (!(length > kNoise * whole)) {
      return Error(StatusCode::kMismatch, "%s: tensor '%s' has a column %zu %s",
                   stored.file->path().c_str(), stored.entry->info.name.c_str(), k,
                   whole > 0 ? "that depends on those before it, which apply_GS cannot make "
                               "orthogonal"
                             : "of zeros, which is the normal of no plane");
    }
    for (double& value : normal) value /= length;
  }
  return OkStatus();
}

// W = W * (I - 2 u_1 u_1^T) * ... * (I - 2 u_r u_r^T), each u of length 1. Orthogonal ones make
// I - 2 U U^T of it.
// Source   Yuan et al. 2024, "Bridging the Gap between Low-rank and Orthogonal Adaptation via
//          Householder Reflection Adaptation".
class ReflectColumns final : public RowUpdate {
 public:
  ReflectColumns(StoredFactor stored, bool orthogonal)
      : columns_(static_cast<size_t>(stored.entry->info.rows())),
        normals_(columns_ * static_cast<size_t>(stored.entry->info.row_elements()),
                 [stored, orthogonal](std::span<double> out) {
                   return ReadNormals(stored, orthogonal, out);
                 }) {}

  Status ApplyRows(int64_t, int64_t, std::span<double> rows, Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> normals, workspace->Get(normals_));
    for (double* row = rows.data(); row != rows.data() + rows.size(); row += columns_) {
      for (size_t k = 0; k < normals.size(); k += columns_) {
        const double* normal = normals.data() + k;
        double along = 0;
        for (size_t c = 0; c < columns_; ++c) along += row[c] * normal[c];
        for (size_t c = 0; c < columns_; ++c) row[c] -= 2 * along * normal[c];
      }
    }
    return OkStatus();
  }

 private:
  size_t columns_;
  PreparedMatrix normals_;  // [rank, columns]
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* u, planner->Need(module, "hra_u"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *u));
  const std::vector<int64_t>& shape = tensor->info.shape;
  const bool layer = shape.size() == 2 || shape.size() == 4;
  if (!layer || u->shape().size() != 2 || u->shape()[0] != tensor->info.row_elements() ||
      u->shape()[0] == 0) {
    return planner->FailShape(*u, *tensor);
  }
  const int64_t rank = u->shape()[1];
  if (rank != planner->config().rank) {
    return planner->Fail(StatusCode::kMismatch, *u,
                         "has rank " + std::to_string(rank) + ", but " + planner->config().file +
                             " gives it " + std::to_string(planner->config().rank));
  }
  if (planner->IsConv1D(module.name) || (shape.size() == 4 && shape[2] != shape[3])) {
    return planner->Fail(StatusCode::kUnsupported, *u,
                         "reflects '" + tensor->info.name + "' " + tensor->info.ShapeText() +
                             ", a Conv1D layer or a kernel that is not square, which PEFT does "
                             "not define");
  }
  GRAFT_ASSIGN_OR_RETURN(const bool orthogonal,
                         planner->config().document->root().GetBool("apply_GS", false));
  planner->Add(tensor, std::make_unique<ReflectColumns>(planner->Stored(*u), orthogonal));
  return planner->NoteModule(tensor, "hra", rank, 0);
}

}  // namespace

extern constinit const PlannedKind kHraKind = {
    {AdapterType::kOther, "HRA", "hra", kRoles, kSettings}, Plan};

}  // namespace graft::converter
