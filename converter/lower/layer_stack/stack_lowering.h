// SPDX-License-Identifier: Apache-2.0
// StackLowering: layers one after another as ops. An image is a row for each pixel, its channels
// side by side. A convolution over the graph's own input, which is planar, is Patches and Linear.
// Flattening, which must give PyTorch's order, is a window over the whole.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "converter/lower/graph_builder.h"
#include "converter/lower/layer_stack/layer_stack.h"
#include "schema/result.h"

namespace graft::converter {

/// What a layer gives to the next.
struct Flow {
  ValueId value;
  bool is_image = false;
  bool is_planar = false;      ///< The graph's own input, [channels, height, width]
  bool is_single_row = false;  ///< Of those that are no image: [1, channels], not any rows
  int64_t channels = 0;        ///< Or features.
  int64_t height = 1, width = 1;

  std::string Text() const {
    const std::string text = std::to_string(channels);
    if (!is_image) return text + " features";
    return "an image of " + text + " channels, " + std::to_string(height) + " x " +
           std::to_string(width);
  }
};

class StackLowering {
 public:
  /// All must outlive it. `source_name` is what messages call the source.
  StackLowering(const LayerStack& stack, const TensorSource& source, const std::string& source_name,
                GraphBuilder& graph)
      : stack_(stack), source_(source), source_name_(source_name), graph_(graph) {}

  /// Describes all layers in the graph. Returns what the last one gives.
  /// Errors   those of LowerLayerStack.
  Result<Flow> Run();

 private:
  static Status Mismatch(const StackLayer& layer, const std::string& message) {
    return Error(StatusCode::kMismatch, "%s %s", layer.place.c_str(), message.c_str());
  }
  // What the tensors and steps of a layer are called.
  static std::string NameOf(const StackLayer& layer) {
    return layer.weight.empty() ? layer.label : layer.weight;
  }
  // Of the op that computes the layer before its activation.
  std::string OpName(const StackLayer& layer) const {
    return is_last_ && !has_activation_ ? stack_.output : NameOf(layer);
  }
  // The batch norm that layer `i` can take into its weights: nothing else sees what lies between.
  const StackLayer* NormAfter(size_t i) const;
  Result<const TensorInfo*> Weight(const StackLayer& layer, size_t rank) const;
  // A norm that is taken into weights must not change them for another layer.
  Status UseFolded(const StackLayer& layer, const StackLayer* norm);
  // Puts the norm's factors and offsets on the weight's rows, and gives the bias.
  Result<TensorId> FoldedBias(const StackLayer& layer, const StackLayer* norm, int64_t out,
                              TensorPart* weight);

  Result<Flow> Input();
  Result<Flow> Apply(const StackLayer& layer, const StackLayer* norm, const Flow& x);
  Result<Flow> Linear(const StackLayer& layer, const StackLayer* norm, const Flow& x);
  Result<Flow> LayerNorm(const StackLayer& layer, const Flow& x);
  Result<Flow> Add(const StackLayer& layer, const Flow& x);

  // Layers of images, in image_layers.cc.
  static Status NeedsImage(const StackLayer& layer, const Flow& x);
  static Status CheckKernels(const StackLayer& layer, const TensorInfo& kernels, const Flow& x);
  // The layer's window over x, whose places are known to fit.
  static Result<WindowShape> Window(const StackLayer& layer, const Flow& x);
  // An image as a row for each pixel.
  Flow PixelRows(const StackLayer& layer, Flow x);
  Result<Flow> Convolution(const StackLayer& layer, const StackLayer* norm, const Flow& x);
  Result<Flow> Pool(const StackLayer& layer, const Flow& x);
  Result<Flow> PoolWhole(const StackLayer& layer, const Flow& x);
  Result<Flow> Flatten(const StackLayer& layer, const Flow& x);

  const LayerStack& stack_;
  const TensorSource& source_;
  const std::string& source_name_;
  GraphBuilder& graph_;
  std::map<std::string, Flow, std::less<>> named_;
  std::map<std::string, std::string, std::less<>> folded_;
  bool is_last_ = false;         // of the layer at hand
  bool has_activation_ = false;  // likewise
};

}  // namespace graft::converter
