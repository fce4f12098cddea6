// SPDX-License-Identifier: Apache-2.0
// Layers of images: convolutions and pools as windows, and the ways from pixels to features.
#include <string>
#include <utility>

#include "converter/lower/layer_stack/stack_lowering.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

using schema::fb::PoolKind;

WindowShape WindowOver(const Flow& x) {
  WindowShape window;
  window.channels = x.channels;
  window.height = x.height;
  window.width = x.width;
  return window;
}

// Whether the window shows each pixel once, in order.
bool IsEachPixel(const WindowShape& window) {
  return window.kernel_height == 1 && window.kernel_width == 1 && window.stride_height == 1 &&
         window.stride_width == 1 && window.pad_height == 0 && window.pad_width == 0;
}

Flow Row(ValueId value, int64_t features) {
  Flow y;
  y.value = value;
  y.is_single_row = true;
  y.channels = features;
  return y;
}

}  // namespace

Status StackLowering::NeedsImage(const StackLayer& layer, const Flow& x) {
  if (x.is_image) return OkStatus();
  return Mismatch(layer, "needs an image, but is applied to " + x.Text());
}

Status StackLowering::CheckKernels(const StackLayer& layer, const TensorInfo& kernels,
                                   const Flow& x) {
  const int64_t out = kernels.shape[0];
  if (x.channels % layer.groups != 0 || out % layer.groups != 0 ||
      kernels.shape[1] != x.channels / layer.groups) {
    return Mismatch(layer, "has kernels '" + layer.weight + "' of " + kernels.ShapeText() + " in " +
                               std::to_string(layer.groups) + " groups, but is applied to " +
                               x.Text());
  }
  if (out > schema::kMaxImageChannels || kernels.shape[2] > schema::kMaxImageSide ||
      kernels.shape.back() > schema::kMaxImageSide) {
    return Mismatch(layer, "has kernels '" + layer.weight + "' of " + kernels.ShapeText() + "; " +
                               std::to_string(schema::kMaxImageChannels) + " of " +
                               std::to_string(schema::kMaxImageSide) + " a side are allowed");
  }
  return OkStatus();
}

Result<WindowShape> StackLowering::Window(const StackLayer& layer, const Flow& x) {
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
  if (!places.ok()) return Mismatch(layer, std::string(places.status().message()));
  return window;
}

Flow StackLowering::PixelRows(const StackLayer& layer, Flow x) {
  if (!x.is_planar) return x;
  x.value = graph_.Patches(NameOf(layer) + ".pixels", x.value, WindowOver(x));
  x.is_planar = false;
  return x;
}

Result<Flow> StackLowering::Convolution(const StackLayer& layer, const StackLayer* norm,
                                        const Flow& x) {
  const bool sequence = layer.kind == LayerKind::kConv1d;
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* info, Weight(layer, sequence ? 3 : 4));
  GRAFT_RETURN_IF_ERROR(NeedsImage(layer, x));
  if (sequence && x.height != 1) {
    return Mismatch(layer, "needs an image of height 1, but is applied to " + x.Text());
  }
  const int64_t out = info->shape[0];
  GRAFT_RETURN_IF_ERROR(CheckKernels(layer, *info, x));
  StackLayer with_kernel = layer;
  with_kernel.kernel = {sequence ? 1 : info->shape[2], info->shape.back()};
  GRAFT_ASSIGN_OR_RETURN(const WindowShape window, Window(with_kernel, x));
  TensorPart part{.source = layer.weight, .source_rows = out};
  GRAFT_ASSIGN_OR_RETURN(const TensorId bias, FoldedBias(layer, norm, out, &part));
  const TensorId kernels = graph_.Kernels(layer.weight, std::move(part), info->shape, out,
                                          window.elements() / layer.groups);
  Flow y = x;
  if (layer.groups == 1 && (x.is_planar || IsEachPixel(window))) {
    if (x.is_planar) y.value = graph_.Patches(layer.weight + ".patches", x.value, window);
    y.value = graph_.Linear(OpName(layer), y.value, kernels, bias);
  } else {
    ConvolutionShape shape;
    shape.window = window;
    shape.groups = layer.groups;
    y.value = graph_.Convolution(OpName(layer), PixelRows(layer, x).value, kernels, bias, shape);
  }
  y.is_planar = false;
  y.channels = out;
  y.height = window.out_height();
  y.width = window.out_width();
  return y;
}

Result<Flow> StackLowering::Pool(const StackLayer& layer, const Flow& x) {
  GRAFT_RETURN_IF_ERROR(NeedsImage(layer, x));
  GRAFT_ASSIGN_OR_RETURN(const WindowShape window, Window(layer, x));
  Flow y = PixelRows(layer, x);
  y.value = graph_.PoolPixels(OpName(layer), y.value, window,
                              layer.kind == LayerKind::kMaxPool ? PoolKind::Max : PoolKind::Mean);
  y.height = window.out_height();
  y.width = window.out_width();
  return y;
}

Result<Flow> StackLowering::PoolWhole(const StackLayer& layer, const Flow& x) {
  GRAFT_RETURN_IF_ERROR(NeedsImage(layer, x));
  const bool largest = layer.kind == LayerKind::kGlobalMaxPool;
  const ValueId value = graph_.PoolRows(OpName(layer), PixelRows(layer, x).value, ValueId{},
                                        largest ? PoolKind::Max : PoolKind::Mean);
  return Row(value, x.channels);
}

Result<Flow> StackLowering::Flatten(const StackLayer& layer, const Flow& x) {
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

}  // namespace graft::converter
