// SPDX-License-Identifier: Apache-2.0
// MlxTargets: which tensors an mlx-lm adapter should have changed: the same modules in each of the
// last layers.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "converter/adapter/adapter_config.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

class MlxTargets {
 public:
  using Names = std::set<std::string, std::less<>>;

  /// `merged` are the tensors of `base` that the adapter did change. They show which stack of
  /// layers it belongs to and, where the configuration has no keys, which modules of a layer were
  /// trained.
  MlxTargets(const AdapterConfig& config, std::span<const TensorInfo> base, const Names& merged);

  /// Whether the configuration asks for a change of `tensor`, which the training program called
  /// `adapter_name`.
  bool Has(const TensorInfo& tensor, std::string_view adapter_name) const;

 private:
  std::string stack_;        // "model.layers."
  int64_t first_layer_ = 0;  // of those that were trained
  Names in_layer_;           // "self_attn.q_proj.weight": what was trained of each layer
  Names in_model_;           // the same keys as names from the top of the model
};

}  // namespace graft::converter
