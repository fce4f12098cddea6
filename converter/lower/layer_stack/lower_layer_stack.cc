// SPDX-License-Identifier: Apache-2.0
// Layers as ops. An image is a row for each pixel, its channels side by side: a convolution is
// Patches and Linear, and flattening, which must give PyTorch's order, a window over the whole.
#include <cinttypes>
#include <map>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/layer_stack/batch_norm.h"
#include "converter/lower/layer_stack/layer_stack.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

using schema::fb::PoolKind;

// A convolution of groups is stored whole, with zeros between its groups.
constexpr int64_t kMaxGroupedElements = int64_t{1} << 26;

// What a layer gives to the next.
struct Flow {
  ValueId value;
  bool is_image = false;
  bool is_planar = false;      // the graph's own input, [channels, height, width]
  bool is_single_row = false;  // of those that are no image: [1, channels], not any rows
  int64_t channels = 0;        // or features
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
  StackLowering(const LayerStack& stack, const TensorSource& source, const std::string& source_name,
                GraphBuilder& graph)
      : stack_(stack), source_(source), source_name_(source_name), graph_(graph) {}

  Result<Flow> Run() {
    GRAFT_ASSIGN_OR_RETURN(Flow flow, Input());
    named_[stack_.input] = flow;
    for (size_t i = 0; i < stack_.layers.size(); ++i) {
      const StackLayer& layer = stack_.layers[i];
      if (!layer.from.empty()) flow = named_[layer.from];
      const StackLayer* norm = NormAfter(i);
      if (norm != nullptr) ++i;
      const StackLayer& whole = stack_.layers[i];  // with the norm that it takes in
      is_last_ = i + 1 == stack_.layers.size();
      has_activation_ = !whole.activation.empty();
      GRAFT_ASSIGN_OR_RETURN(flow, Apply(layer, norm, flow));
      if (has_activation_) {
        GRAFT_ASSIGN_OR_RETURN(const auto kind, ActivationFromName(whole.activation));
        flow.value = graph_.Activation(
            is_last_ ? stack_.output : NameOf(layer) + "." + whole.activation, flow.value, kind);
      }
      if (!whole.name.empty()) named_[whole.name] = flow;
      GRAFT_RETURN_IF_ERROR(graph_.status());
    }
    return flow;
  }

 private:
  static Status Misfit(const StackLayer& layer, const std::string& message) {
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
  const StackLayer* NormAfter(size_t i) const {
    const StackLayer& layer = stack_.layers[i];
    const bool has_weights = layer.kind == LayerKind::kLinear || layer.kind == LayerKind::kConv1d ||
                             layer.kind == LayerKind::kConv2d;
    if (!has_weights || !layer.activation.empty() || !layer.name.empty()) return nullptr;
    if (i + 1 == stack_.layers.size()) return nullptr;
    const StackLayer& next = stack_.layers[i + 1];
    return next.kind == LayerKind::kBatchNorm && next.from.empty() ? &next : nullptr;
  }

  Result<Flow> Input() {
    Flow flow;
    const std::vector<int64_t>& shape = stack_.input_shape;
    if (shape.size() == 3) {
      flow.is_image = flow.is_planar = true;
      flow.channels = shape[0];
      flow.height = shape[1];
      flow.width = shape[2];
      if (flow.channels * flow.height * flow.width >
          static_cast<int64_t>(schema::kMaxImageElements)) {
        return Error(StatusCode::kMismatch, "%s: 'input.shape' has more than %" PRIu64 " numbers",
                     stack_.file.c_str(), schema::kMaxImageElements);
      }
      flow.value = graph_.ImageInput(stack_.input, shape[0], shape[1], shape[2]);
      return flow;
    }
    if (shape.size() == 1) {
      flow.channels = shape[0];
    } else {
      GRAFT_ASSIGN_OR_RETURN(const TensorInfo* weight, Weight(stack_.layers[0], 2));
      flow.channels = weight->shape[1];
    }
    flow.value = graph_.TensorInput(stack_.input, flow.channels);
    return flow;
  }

  Result<const TensorInfo*> Weight(const StackLayer& layer, size_t rank) const {
    const TensorInfo* info = source_.Find(layer.weight);
    if (info == nullptr) {
      return Error(StatusCode::kMismatch, "%s: has no tensor '%s', which graft.json names",
                   source_name_.c_str(), layer.weight.c_str());
    }
    bool fits = info->shape.size() == rank && IsFloat(info->dtype);
    for (const int64_t size : info->shape) fits = fits && size > 0;
    if (fits) return info;
    return Error(StatusCode::kMismatch, "%s: tensor '%s' is %s of %s; %s needs floats of %s",
                 source_name_.c_str(), layer.weight.c_str(), info->ShapeText().c_str(),
                 DTypeName(info->dtype), layer.place.c_str(),
                 rank == 2   ? "[out_features, in_features]"
                 : rank == 3 ? "[out_channels, in_channels, length]"
                             : "[out_channels, in_channels, height, width]");
  }

  Result<Flow> Apply(const StackLayer& layer, const StackLayer* norm, const Flow& x) {
    switch (layer.kind) {
      case LayerKind::kLinear:
        return Linear(layer, norm, x);
      case LayerKind::kConv1d:
      case LayerKind::kConv2d:
        return Convolution(layer, norm, x);
      case LayerKind::kBatchNorm:
        return Misfit(layer,
                      "must come right after a conv1d, conv2d or linear layer without name and "
                      "activation, whose weights it becomes part of");
      case LayerKind::kLayerNorm:
        return LayerNorm(layer, x);
      case LayerKind::kActivation:
        return Rows(layer, x);
      case LayerKind::kMaxPool:
      case LayerKind::kAveragePool:
        return Pool(layer, x);
      case LayerKind::kGlobalMaxPool:
      case LayerKind::kGlobalAveragePool:
        return PoolWhole(layer, x);
      case LayerKind::kFlatten:
        return Flatten(layer, x);
      case LayerKind::kAdd:
        return Add(layer, x);
    }
    return Misfit(layer, "is of a kind that is not known");
  }

  // An image as a row for each pixel.
  Flow Rows(const StackLayer& layer, Flow x) {
    if (!x.is_planar) return x;
    x.value = graph_.Patches(NameOf(layer) + ".pixels", x.value, WindowOver(x));
    x.is_planar = false;
    return x;
  }

  static WindowShape WindowOver(const Flow& x) {
    WindowShape window;
    window.channels = x.channels;
    window.height = x.height;
    window.width = x.width;
    return window;
  }

  // The layer's window over x, whose places are known to fit.
  static Result<WindowShape> Window(const StackLayer& layer, const Flow& x) {
    WindowShape window = WindowOver(x);
    window.kernel_height = layer.kernel.height;
    window.kernel_width = layer.kernel.width;
    window.stride_height = layer.stride.height;
    window.stride_width = layer.stride.width;
    window.pad_height = layer.padding.height;
    window.pad_width = layer.padding.width;
    window.dilation_height = layer.dilation.height;
    window.dilation_width = layer.dilation.width;
    const auto places = schema::PlacesOf(StoredWindow(window));
    if (!places.ok()) return Misfit(layer, std::string(places.status().message()));
    return window;
  }

  Status NeedsImage(const StackLayer& layer, const Flow& x) const {
    if (x.is_image) return OkStatus();
    return Misfit(layer, "needs an image, but is applied to " + x.Text());
  }

  // A norm that is taken into weights must not change them for another layer.
  Status UseFolded(const StackLayer& layer, const StackLayer* norm) {
    const std::string folded = norm == nullptr ? "" : norm->place;
    for (const std::string* name : {&layer.weight, &layer.bias}) {
      if (name->empty()) continue;
      const auto [place, is_new] = folded_.emplace(*name, folded);
      if (is_new || place->second == folded) continue;
      return Error(StatusCode::kUnsupported,
                   "%s uses tensor '%s', which another layer uses with another batch norm",
                   layer.place.c_str(), name->c_str());
    }
    return OkStatus();
  }

  // Puts the norm's factors and offsets on the weight's rows, and gives the bias.
  Result<TensorId> FoldedBias(const StackLayer& layer, const StackLayer* norm, int64_t out,
                              TensorPart* weight) {
    GRAFT_RETURN_IF_ERROR(UseFolded(layer, norm));
    if (norm == nullptr) return layer.bias.empty() ? TensorId{} : graph_.Vector(layer.bias, out);
    GRAFT_ASSIGN_OR_RETURN(ChannelAffine affine, ReadBatchNorm(*norm, source_, source_name_, out));
    weight->row_factors = affine.factor;
    if (layer.bias.empty()) {
      return graph_.Literal(layer.weight + ".offset",
                            std::vector<float>(affine.offset.begin(), affine.offset.end()));
    }
    TensorPart bias{.source = layer.bias, .source_rows = out};
    bias.row_factors = std::move(affine.factor);
    bias.row_offsets = std::move(affine.offset);
    return graph_.Vector(layer.bias, std::move(bias), out);
  }

  Result<Flow> Linear(const StackLayer& layer, const StackLayer* norm, const Flow& x) {
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, Weight(layer, 2));
    if (x.is_image) {
      return Misfit(layer, "needs features, but is applied to " + x.Text() +
                               "; a flatten or global pool layer goes between");
    }
    const int64_t out = info->shape[0];
    TensorPart part{.source = layer.weight, .source_rows = out};
    GRAFT_ASSIGN_OR_RETURN(const TensorId bias, FoldedBias(layer, norm, out, &part));
    const TensorId weight = graph_.Matrix(layer.weight, std::move(part), out, info->shape[1]);
    Flow y = x;
    y.value = graph_.Linear(OpName(layer), x.value, weight, bias);
    y.channels = out;
    return y;
  }

  Result<Flow> Convolution(const StackLayer& layer, const StackLayer* norm, const Flow& x) {
    const bool sequence = layer.kind == LayerKind::kConv1d;
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, Weight(layer, sequence ? 3 : 4));
    GRAFT_RETURN_IF_ERROR(NeedsImage(layer, x));
    if (sequence && x.height != 1) {
      return Misfit(layer, "needs an image of height 1, but is applied to " + x.Text());
    }
    const int64_t out = info->shape[0];
    if (x.channels % layer.groups != 0 || out % layer.groups != 0 ||
        info->shape[1] != x.channels / layer.groups) {
      return Misfit(layer, "has kernels '" + layer.weight + "' of " + info->ShapeText() + " in " +
                               std::to_string(layer.groups) + " groups, but is applied to " +
                               x.Text());
    }
    if (out > schema::kMaxImageChannels || info->shape[2] > schema::kMaxImageSide ||
        info->shape.back() > schema::kMaxImageSide) {
      return Misfit(layer, "has kernels '" + layer.weight + "' of " + info->ShapeText() + "; " +
                               std::to_string(schema::kMaxImageChannels) + " of " +
                               std::to_string(schema::kMaxImageSide) + " a side are allowed");
    }
    StackLayer with_kernel = layer;
    with_kernel.kernel = {sequence ? 1 : info->shape[2], info->shape.back()};
    GRAFT_ASSIGN_OR_RETURN(const WindowShape window, Window(with_kernel, x));
    const int64_t patch = window.channels * window.kernel_height * window.kernel_width;
    if (layer.groups > 1 && out > kMaxGroupedElements / patch) {
      return Misfit(layer, "has groups, and as one matrix of " + std::to_string(out) + " x " +
                               std::to_string(patch) + " more than " +
                               std::to_string(kMaxGroupedElements) + " numbers");
    }
    TensorPart part{.source = layer.weight, .source_rows = out};
    part.groups = layer.groups;
    GRAFT_ASSIGN_OR_RETURN(const TensorId bias, FoldedBias(layer, norm, out, &part));
    const TensorId kernels = graph_.Kernels(layer.weight, std::move(part), info->shape, out, patch);
    Flow y = x;
    if (x.is_planar || !IsEachPixel(window)) {
      y.value = graph_.Patches(layer.weight + ".patches", x.value, window);
    }
    y.value = graph_.Linear(OpName(layer), y.value, kernels, bias);
    y.is_planar = false;
    y.channels = out;
    y.height = window.out_height();
    y.width = window.out_width();
    return y;
  }

  // Whether the window shows each pixel once, in order.
  static bool IsEachPixel(const WindowShape& window) {
    return window.kernel_height == 1 && window.kernel_width == 1 && window.stride_height == 1 &&
           window.stride_width == 1 && window.pad_height == 0 && window.pad_width == 0;
  }

  Result<Flow> LayerNorm(const StackLayer& layer, const Flow& x) {
    if (x.is_image) return Misfit(layer, "needs features, but is applied to " + x.Text());
    Flow y = x;
    const TensorId weight = graph_.Vector(layer.weight, x.channels);
    const TensorId bias = layer.bias.empty() ? TensorId{} : graph_.Vector(layer.bias, x.channels);
    y.value =
        graph_.LayerNorm(OpName(layer), x.value, weight, bias, static_cast<float>(layer.epsilon));
    return y;
  }

  Result<Flow> Pool(const StackLayer& layer, const Flow& x) {
    GRAFT_RETURN_IF_ERROR(NeedsImage(layer, x));
    GRAFT_ASSIGN_OR_RETURN(const WindowShape window, Window(layer, x));
    Flow y = Rows(layer, x);
    y.value = graph_.PoolPixels(OpName(layer), y.value, window,
                                layer.kind == LayerKind::kMaxPool ? PoolKind::Max : PoolKind::Mean);
    y.height = window.out_height();
    y.width = window.out_width();
    return y;
  }

  Result<Flow> PoolWhole(const StackLayer& layer, const Flow& x) {
    GRAFT_RETURN_IF_ERROR(NeedsImage(layer, x));
    const bool largest = layer.kind == LayerKind::kGlobalMaxPool;
    const ValueId value = graph_.PoolRows(OpName(layer), Rows(layer, x).value, ValueId{},
                                          largest ? PoolKind::Max : PoolKind::Mean);
    return Row(value, x.channels);
  }

  static Flow Row(ValueId value, int64_t features) {
    Flow y;
    y.value = value;
    y.is_single_row = true;
    y.channels = features;
    return y;
  }

  Result<Flow> Flatten(const StackLayer& layer, const Flow& x) {
    if (!x.is_image) {
      Flow y = x;
      if (is_last_) y.value = graph_.Scale(stack_.output, x.value, 1.0f);
      return y;
    }
    WindowShape window = WindowOver(x);
    window.kernel_height = window.stride_height = x.height;
    window.kernel_width = window.stride_width = x.width;
    return Row(graph_.Patches(OpName(layer), x.value, window), x.channels * x.height * x.width);
  }

  Result<Flow> Add(const StackLayer& layer, const Flow& x) {
    const Flow& other = named_[layer.with];
    const bool fits = x.is_image == other.is_image && x.is_single_row == other.is_single_row &&
                      x.channels == other.channels && x.height == other.height &&
                      x.width == other.width;
    if (!fits) return Misfit(layer, "adds " + other.Text() + " to " + x.Text());
    Flow y = Rows(layer, x);
    y.value = graph_.Add(OpName(layer), y.value, Rows(layer, other).value);
    return y;
  }

  const LayerStack& stack_;
  const TensorSource& source_;
  const std::string& source_name_;
  GraphBuilder& graph_;
  std::map<std::string, Flow, std::less<>> named_;
  std::map<std::string, std::string, std::less<>> folded_;
  bool is_last_ = false;         // of the layer at hand
  bool has_activation_ = false;  // likewise
};

Status DescribeTask(const LayerStack& stack, const Flow& result, TaskDescription* task) {
  task->architecture = stack.kind;
  task->task = stack.task;
  task->labels = stack.labels;
  task->scores = stack.scores;
  task->image = stack.image;
  task->takes_text = false;
  if (stack.task != Task::kTensors && result.is_image) {
    return Error(StatusCode::kMismatch,
                 "%s: 'task' is %s, which needs features, but the layers give %s",
                 stack.file.c_str(), TaskName(stack.task), result.Text().c_str());
  }
  const auto labels = static_cast<int64_t>(stack.labels.size());
  if (labels != 0 && labels != result.channels) {
    return Error(StatusCode::kMismatch, "%s: 'labels' has %" PRId64 " names for %" PRId64 " scores",
                 stack.file.c_str(), labels, result.channels);
  }
  return OkStatus();
}

}  // namespace

Status LowerLayerStack(const LayerStack& stack, const TensorSource& source,
                       const std::string& source_name, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const Flow result, StackLowering(stack, source, source_name, graph).Run());
  GRAFT_RETURN_IF_ERROR(DescribeTask(stack, result, task));
  graph.Output(result.value);
  return OkStatus();
}

}  // namespace graft::converter
