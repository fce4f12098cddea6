// SPDX-License-Identifier: Apache-2.0
// PreparedMatrix: a matrix worked out once for each thread that needs it, and forgotten when the
// thread moves on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "schema/result.h"

namespace graft::converter {

/// Blocks of rows of one tensor follow one another on a thread, and all need the same small matrix;
/// the next tensor needs another. Each thread keeps the last few, so memory does not grow with the
/// number of tensors.
class PreparedMatrix {
 public:
  using Fill = std::function<Status(std::span<double> out)>;

  PreparedMatrix(size_t elements, Fill fill);

  /// The matrix, valid until this thread has asked for four others. Thread-safe.
  /// Errors   those of `fill`.
  Result<std::span<const double>> Get() const;
  size_t elements() const { return elements_; }

 private:
  uint64_t id_;
  size_t elements_;
  Fill fill_;
};

}  // namespace graft::converter
