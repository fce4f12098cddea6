// SPDX-License-Identifier: Apache-2.0
// A free workspace goes back to the tensor it served; the one unused for longest makes room.
#include "converter/merge/updates/workspace.h"

#include <algorithm>
#include <utility>

namespace graft::converter {
namespace {

// For tensors that are read in turn.
constexpr size_t kSpare = 4;

}  // namespace

Result<std::span<const double>> Workspace::Get(const PreparedMatrix& matrix) {
  if (const auto found = matrices_.find(&matrix); found != matrices_.end()) {
    return std::span<const double>(found->second);
  }
  std::vector<double> values(matrix.elements());
  GRAFT_RETURN_IF_ERROR(matrix.Compute(values));
  return std::span<const double>(matrices_.emplace(&matrix, std::move(values)).first->second);
}

Result<SharedMatrix::Values> SharedMatrix::Get() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Values values = values_.lock(); values != nullptr) return values;
  auto values = std::make_shared<std::vector<double>>(matrix_.elements());
  GRAFT_RETURN_IF_ERROR(matrix_.Compute(*values));
  values_ = values;
  return Values(std::move(values));
}

Result<std::span<const double>> Workspace::Get(const SharedMatrix& matrix) {
  SharedMatrix::Values& values = shared_[&matrix];
  if (values == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(values, matrix.Get());
  }
  return std::span<const double>(*values);
}

std::span<double> Workspace::Scratch(size_t elements) {
  if (scratch_.size() < elements) scratch_.resize(elements);
  return std::span(scratch_).first(elements);
}

WorkspacePool::Lease::Lease(WorkspacePool* pool, std::string_view tensor) : pool_(pool) {
  const std::lock_guard<std::mutex> lock(pool_->mutex_);
  pool_->most_leased_ = std::max(pool_->most_leased_, ++pool_->leased_);
  std::vector<Kept>& free = pool_->free_;
  const auto found = std::find_if(free.begin(), free.end(),
                                  [tensor](const Kept& kept) { return kept.tensor == tensor; });
  if (found != free.end()) {
    kept_ = std::move(*found);
    free.erase(found);
  } else {
    kept_.tensor = tensor;
  }
}

WorkspacePool::Lease::~Lease() {
  const std::lock_guard<std::mutex> lock(pool_->mutex_);
  std::vector<Kept>& free = pool_->free_;
  --pool_->leased_;
  if (free.size() >= pool_->most_leased_ + kSpare) free.erase(free.begin());
  free.push_back(std::move(kept_));
}

}  // namespace graft::converter
