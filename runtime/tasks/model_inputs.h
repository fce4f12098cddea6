// SPDX-License-Identifier: Apache-2.0
// The named inputs that a model's graph takes from its caller.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/model/model.h"
#include "runtime/session/session.h"
#include "schema/result.h"

namespace graft::runtime {

inline constexpr uint32_t kMaxInputRank = 8;

struct ModelInput {
  const char* name = "";  ///< the model's
  ElementType type = ElementType::kFloat32;
  uint32_t rank = 0;
  std::array<int64_t, kMaxInputRank> shape{};  ///< -1 stands for any size
};

/// The index-th input: first what the caller must bring, then what may be left out.
/// Errors   kOutOfRange: there are no more.
Result<ModelInput> DescribeInput(const Model& model, size_t index);

}  // namespace graft::runtime
