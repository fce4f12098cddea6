// SPDX-License-Identifier: Apache-2.0
// Plain stacks of linear layers, described by a graft.json beside their weights:
//
//   {
//     "kind": "linear-stack",
//     "input": "input",                          default "input"
//     "output": "output",                        default "output"
//     "layers": [                                applied in order: y = activation(x W^T + bias)
//       {"weight": "fc1.weight",                 [out_features, in_features]
//        "bias": "fc1.bias",                     optional, [out_features]
//        "activation": "relu"},                  optional; the names of lower/activation.cc
//       {"weight": "W",
//        "lora": {"a": "A", "b": "B",            optional: W + scale * B A; A [rank, in_features],
//        B [out_features, rank]
//                 "alpha": 10}}                  scale = alpha / rank; or "scale": 1.0; default 1
//     ]
//   }
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "converter/lower/lowering.h"

namespace graft::converter {

/// A low-rank update whose factors lie beside the matrix itself.
struct InlineLora {
  std::string a;
  std::string b;
  std::optional<double> alpha;  ///< scale = alpha / rank
  double scale = 1.0;           ///< If there is no alpha.

  double ScaleFor(int64_t rank) const { return alpha ? *alpha / static_cast<double>(rank) : scale; }
};

struct LinearStackLayer {
  std::string weight;
  std::string bias;        ///< Empty: none.
  std::string activation;  ///< Empty: none.
  std::optional<InlineLora> lora;
};

struct LinearStack {
  std::string input = "input";
  std::string output = "output";
  std::vector<LinearStackLayer> layers;
};

/// Reads a graft.json. Errors   kCorrupt, kUnsupported: a missing, unknown or contradictory member,
/// named.
Result<LinearStack> ReadLinearStack(const JsonValue& description);

/// The stack of a file without description, where its tensors leave no doubt: one layer of W or
/// weight, perhaps bias, perhaps A and B. Nothing if there is any other tensor.
std::optional<LinearStack> GuessLinearStack(const TensorSource& source);

/// `source` with the factors merged into the matrices they belong to; null if the stack has none.
/// Both must outlive it. Errors   kMismatch: a factor that is missing or misshapen. `source_name`
/// is what messages call the source.
Result<std::unique_ptr<TensorSource>> MergeInlineLoras(const LinearStack& stack,
                                                       const TensorSource& source,
                                                       const std::string& source_name);

/// Describes the stack. Errors   kUnsupported: an unknown activation. The builder keeps those about
/// tensors.
Status LowerLinearStack(const LinearStack& stack, const TensorSource& source, GraphBuilder& graph,
                        TaskDescription* task);

}  // namespace graft::converter
