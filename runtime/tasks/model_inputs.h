// SPDX-License-Identifier: Apache-2.0
// The named inputs that a model's graph takes from its caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/session.h"
#include "schema/result.h"

namespace graft::runtime {

struct ModelInput {
  const char* name = "";  ///< the model's
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> shape;  ///< -1 stands for any size
};

/// The index-th input: first what the caller must bring, then what may be left out.
/// Errors   kOutOfRange: there are no more.
Result<ModelInput> DescribeInput(const Model& model, size_t index);

}  // namespace graft::runtime
