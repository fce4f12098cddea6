// SPDX-License-Identifier: Apache-2.0
// A stack from its first layer to its task, and the layers of features.
#include <cinttypes>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/layer_stack/batch_norm.h"
#include "converter/lower/layer_stack/stack_lowering.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

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

Result<Flow> StackLowering::Run() {
  GRAFT_ASSIGN_OR_RETURN(Flow flow, Input());
  named_[stack_.input] = flow;
  for (size_t i = 0; i < stack_.layers.size(); ++i) {
    const StackLayer& layer = stack_.layers[i];
    if (!layer.from.empty()) flow = named_[layer.from];
    const StackLayer* norm = NormAfter(i);
    if (norm != nullptr) ++i;
    const StackLayer& last = stack_.layers[i];  // the norm that the layer takes in, if any
    is_last_ = i + 1 == stack_.layers.size();
    has_activation_ = !last.activation.empty();
    GRAFT_ASSIGN_OR_RETURN(flow, Apply(layer, norm, flow));
    if (has_activation_) {
      GRAFT_ASSIGN_OR_RETURN(const auto kind, ActivationFromName(last.activation));
      flow.value = graph_.Activation(
          is_last_ ? stack_.output : NameOf(layer) + "." + last.activation, flow.value, kind);
    }
    if (!last.name.empty()) named_[last.name] = flow;
    GRAFT_RETURN_IF_ERROR(graph_.status());
  }
  return flow;
}

const StackLayer* StackLowering::NormAfter(size_t i) const {
  const StackLayer& layer = stack_.layers[i];
  const bool has_weights = layer.kind == LayerKind::kLinear || layer.kind == LayerKind::kConv1d ||
                           layer.kind == LayerKind::kConv2d;
  if (!has_weights || !layer.activation.empty() || !layer.name.empty()) return nullptr;
  if (i + 1 == stack_.layers.size()) return nullptr;
  const StackLayer& next = stack_.layers[i + 1];
  return next.kind == LayerKind::kBatchNorm && next.from.empty() ? &next : nullptr;
}

Result<Flow> StackLowering::Input() {
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

Result<const TensorInfo*> StackLowering::Weight(const StackLayer& layer, size_t rank) const {
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

Result<Flow> StackLowering::Apply(const StackLayer& layer, const StackLayer* norm, const Flow& x) {
  switch (layer.kind) {
    case LayerKind::kLinear:
      return Linear(layer, norm, x);
    case LayerKind::kConv1d:
    case LayerKind::kConv2d:
      return Convolution(layer, norm, x);
    case LayerKind::kBatchNorm:
      return Mismatch(layer,
                      "must come right after a conv1d, conv2d or linear layer without name and "
                      "activation, whose weights it becomes part of");
    case LayerKind::kLayerNorm:
      return LayerNorm(layer, x);
    case LayerKind::kActivation:
      return PixelRows(layer, x);
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
  return Mismatch(layer, "is of a kind that is not known");
}

Status StackLowering::UseFolded(const StackLayer& layer, const StackLayer* norm) {
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

Result<TensorId> StackLowering::FoldedBias(const StackLayer& layer, const StackLayer* norm,
                                           int64_t out, TensorPart* weight) {
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

Result<Flow> StackLowering::Linear(const StackLayer& layer, const StackLayer* norm, const Flow& x) {
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, Weight(layer, 2));
  if (x.is_image) {
    return Mismatch(layer, "needs features, but is applied to " + x.Text() +
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

Result<Flow> StackLowering::LayerNorm(const StackLayer& layer, const Flow& x) {
  if (x.is_image) return Mismatch(layer, "needs features, but is applied to " + x.Text());
  Flow y = x;
  const TensorId weight = graph_.Vector(layer.weight, x.channels);
  const TensorId bias = layer.bias.empty() ? TensorId{} : graph_.Vector(layer.bias, x.channels);
  y.value =
      graph_.LayerNorm(OpName(layer), x.value, weight, bias, static_cast<float>(layer.epsilon));
  return y;
}

Result<Flow> StackLowering::Add(const StackLayer& layer, const Flow& x) {
  const Flow& other = named_[layer.with];
  const bool fits = x.is_image == other.is_image && x.is_single_row == other.is_single_row &&
                    x.channels == other.channels && x.height == other.height &&
                    x.width == other.width;
  if (!fits) return Mismatch(layer, "adds " + other.Text() + " to " + x.Text());
  Flow y = PixelRows(layer, x);
  y.value = graph_.Add(OpName(layer), y.value, PixelRows(layer, other).value);
  return y;
}

Status LowerLayerStack(const LayerStack& stack, const TensorSource& source,
                       const std::string& source_name, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const Flow result, StackLowering(stack, source, source_name, graph).Run());
  GRAFT_RETURN_IF_ERROR(DescribeTask(stack, result, task));
  graph.Output(result.value);
  return OkStatus();
}

}  // namespace graft::converter
