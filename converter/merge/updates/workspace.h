// SPDX-License-Identifier: Apache-2.0
// Workspace: what updates work out once and use again for each block of rows of a tensor.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

/// A matrix that an update needs for every block of rows, and how to work it out.
class PreparedMatrix {
 public:
  using Fill = std::function<Status(std::span<double> out)>;

  PreparedMatrix(size_t elements, Fill fill) : elements_(elements), fill_(std::move(fill)) {}

  size_t elements() const { return elements_; }
  /// Fills `out`, which has elements() elements.
  Status Compute(std::span<double> out) const { return fill_(out); }

 private:
  size_t elements_;
  Fill fill_;
};

/// The same of one that takes so long to work out that threads share it: the first one that asks
/// does the work, and it is kept for as long as any workspace holds it.
/// Thread   safe.
class SharedMatrix {
 public:
  using Values = std::shared_ptr<const std::vector<double>>;

  SharedMatrix(size_t elements, PreparedMatrix::Fill fill) : matrix_(elements, std::move(fill)) {}

  /// Errors   those of PreparedMatrix::Compute.
  Result<Values> Get() const;

 private:
  PreparedMatrix matrix_;
  mutable std::mutex mutex_;
  mutable std::weak_ptr<const std::vector<double>> values_;
};

/// The matrices of the updates of one tensor, and room for a left factor. Whoever applies updates
/// holds one, and hands it to each of them for as long as blocks of that tensor follow one another.
/// Thread   one at a time.
class Workspace {
 public:
  /// The matrix, worked out unless this workspace holds it. Valid as long as the workspace.
  /// Requires `matrix` stays where it is as long as this workspace is used.
  /// Errors   those of Compute.
  Result<std::span<const double>> Get(const PreparedMatrix& matrix);
  Result<std::span<const double>> Get(const SharedMatrix& matrix);

  /// Room for `elements` numbers, which the next call may take back.
  std::span<double> Scratch(size_t elements);

 private:
  std::map<const PreparedMatrix*, std::vector<double>> matrices_;
  std::map<const SharedMatrix*, SharedMatrix::Values> shared_;
  std::vector<double> scratch_;
};

/// Workspaces that lie ready for whoever reads rows next. Each belongs to the tensor it was used
/// for last; only as many are kept as were in use at one time, and a few, so that memory does not
/// grow with the number of tensors.
/// Thread   safe.
class WorkspacePool {
  struct Kept {
    std::string tensor;
    Workspace workspace;
  };

 public:
  /// A workspace for as long as this lives; then it lies ready again.
  class Lease {
   public:
    Lease(WorkspacePool* pool, std::string_view tensor);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Workspace* workspace() { return &kept_.workspace; }

   private:
    WorkspacePool* pool_;
    Kept kept_;
  };

 private:
  std::mutex mutex_;
  std::vector<Kept> free_;  // used last: at the end
  size_t leased_ = 0;
  size_t most_leased_ = 0;
};

}  // namespace graft::converter
