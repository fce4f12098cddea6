// SPDX-License-Identifier: Apache-2.0
// Models of no known architecture: layers one after another, described by a graft.json beside their
// weights. README.md has the format with an example; in short:
//
//   {"kind": "layer-stack",
//    "input": {"shape": [3, 32, 32]},             [channels, height, width] or [features]
//    "layers": [
//      {"type": "conv2d", "weight": "c.weight", "bias": "c.bias", "stride": 2, "padding": [1, 0]},
//      {"type": "batch_norm", "weight": "n.weight", "bias": "n.bias", "running_mean": ...,
//       "running_var": ..., "activation": "relu"},
//      {"type": "flatten"},
//      {"type": "linear", "weight": "W", "lora": {"a": "A", "b": "B", "alpha": 10}}]}
//
//   {"kind": "linear-stack", "layers": [{"weight": "W"}]}    linear layers only, of [features]
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "converter/lower/lowering.h"
#include "converter/merge/inline_lora.h"

namespace graft::converter {

enum class LayerKind : uint8_t {
  kLinear,
  kConv1d,
  kConv2d,
  kBatchNorm,
  kLayerNorm,
  kActivation,
  kMaxPool,
  kAveragePool,
  kGlobalMaxPool,
  kGlobalAveragePool,
  kFlatten,
  kAdd,
};

/// A number along the height and one along the width.
struct Sides {
  int64_t height = 0;
  int64_t width = 0;
};

struct StackLayer {
  LayerKind kind = LayerKind::kLinear;
  std::string place;  ///< For messages: "graft.json: 'layers[2]'".
  std::string label;  ///< What its steps are called if it has no weight: "layers[2].flatten".
  std::string name;   ///< By which later layers ask for its output; empty: none do.
  std::string from;   ///< Whose output it takes; empty: the layer's before it.
  std::string with;   ///< kAdd: whose output is added.
  std::string weight, bias, running_mean, running_var;  ///< Empty: none.
  std::string activation;                               ///< Of what the layer gives; empty: none.
  Sides kernel{1, 1}, stride{1, 1}, padding{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  double epsilon = 1e-5;
  std::optional<InlineLora> lora;
};

struct LayerStack {
  std::string file;  ///< The description, as messages call it.
  std::string kind;  ///< "linear-stack", "layer-stack".
  std::string input = "input";
  std::string output = "output";
  std::vector<int64_t> input_shape;  ///< Empty: the first layer's weight says.
  std::vector<StackLayer> layers;
  Task task = Task::kTensors;
  std::vector<std::string> labels;
  ScoreKind scores = ScoreKind::kSoftmax;
  std::optional<ImagePreparation> image;  ///< Its sizes are the input's.
};

/// Reads a graft.json.
/// Errors   kCorrupt, kUnsupported: a missing, unknown or contradictory member, named.
Result<LayerStack> ReadLayerStack(const JsonDocument& description);

/// The stack of a file without description, where its tensors leave no doubt: one layer of W or
/// weight, perhaps bias, perhaps A and B. Nothing if there is any other tensor.
std::optional<LayerStack> GuessLayerStack(const TensorSource& source);

/// `source` with the factors merged into the weights they belong to; null if the stack has none.
/// Both must outlive it.
/// Errors   kMismatch: a factor that is missing or misshapen. `source_name` is what messages call
///          the source.
Result<std::unique_ptr<TensorSource>> MergeInlineLoras(const LayerStack& stack,
                                                       const TensorSource& source,
                                                       const std::string& source_name);

/// Names of the tensors that the description speaks of.
std::set<std::string, std::less<>> TensorsOf(const LayerStack& stack);

/// Describes the stack.
/// Errors   kMismatch, kCorrupt: layers that do not fit what they are applied to or what the task
///          needs, a norm whose numbers are not finite;
///          kUnsupported: an unknown activation. The builder keeps those about tensors.
Status LowerLayerStack(const LayerStack& stack, const TensorSource& source,
                       const std::string& source_name, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
