// SPDX-License-Identifier: Apache-2.0
// MobileNetV2: residual layers that widen, convolve each channel by itself, and narrow again.
// Source   Sandler et al. 2018; for segmentation Chen et al. 2018.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kChannels[] = {16, 24, 24, 32, 32,  32,  64,  64, 64,
                                 64, 96, 96, 96, 160, 160, 160, 320};
constexpr int64_t kStrides[] = {2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1};

struct MobileNetConfig {
  double multiplier = 1.0;
  double expand_ratio = 6.0;
  int64_t divisor = 8, fewest = 8;
  int64_t output_stride = 32;
  bool first_is_expansion = true;
  bool is_finegrained = true;
  bool tf_padding = true;
  double epsilon = 1e-3;
  PixelActivation activation;

  int64_t Divisible(double channels) const {
    // Python's int() cuts, its round() takes the even of two.
    const double whole = std::nearbyint(channels);
    const auto half = static_cast<int64_t>(whole + static_cast<double>(divisor) / 2);
    int64_t rounded = std::max(fewest, half / divisor * divisor);
    if (static_cast<double>(rounded) < 0.9 * whole) rounded += divisor;
    return rounded;
  }
  int64_t Multiplied(int64_t channels) const {
    return Divisible(static_cast<double>(channels) * multiplier);
  }
};

Result<MobileNetConfig> ReadConfig(const JsonValue& config) {
  MobileNetConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.multiplier, ReadPositive(config, "depth_multiplier", 1.0));
  GRAFT_ASSIGN_OR_RETURN(c.expand_ratio, ReadPositive(config, "expand_ratio", 6.0));
  if (c.multiplier > 64.0) return config.Find("depth_multiplier").Fail("must be at most 64");
  if (c.expand_ratio > 64.0) return config.Find("expand_ratio").Fail("must be at most 64");
  GRAFT_ASSIGN_OR_RETURN(c.divisor, config.GetIntIn("depth_divisible_by", 1, 1024, 8));
  GRAFT_ASSIGN_OR_RETURN(c.fewest, config.GetIntIn("min_depth", 1, 1024, 8));
  GRAFT_ASSIGN_OR_RETURN(c.output_stride, config.GetIntIn("output_stride", 1, 1024, 32));
  GRAFT_ASSIGN_OR_RETURN(c.first_is_expansion, config.GetBool("first_layer_is_expansion", true));
  GRAFT_ASSIGN_OR_RETURN(c.is_finegrained, config.GetBool("finegrained_output", true));
  GRAFT_ASSIGN_OR_RETURN(c.tf_padding, config.GetBool("tf_padding", true));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadPositive(config, "layer_norm_eps", 1e-3));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadPixelActivation(config, "hidden_act", "relu6"));
  return c;
}

struct LayerShape {
  int64_t out = 0;
  int64_t kernel = 1, stride = 1, dilation = 1, groups = 1;
};

// Zeros along one side, before and after: TensorFlow's "same", which counts the dilation in
// afterwards.
struct SidePadding {
  int64_t before = 0, extra = 0;
};

SidePadding SamePadding(int64_t size, const LayerShape& shape) {
  const int64_t rest = size % shape.stride;
  const int64_t along = std::max<int64_t>(0, shape.kernel - (rest == 0 ? shape.stride : rest));
  const int64_t before = along / 2;
  return {before * shape.dilation, (along - 2 * before) * shape.dilation};
}

enum class After { kNothing, kActivation, kRelu };

PixelMap ConvolveAndNorm(const MobileNetConfig& c, const Module& layer, const PixelMap& x,
                         const LayerShape& shape, After after, double epsilon = 0.0) {
  ConvolutionSettings settings;
  settings.out_channels = shape.out;
  settings.kernel = {shape.kernel, shape.kernel};
  settings.stride = {shape.stride, shape.stride};
  settings.dilation = {shape.dilation, shape.dilation};
  settings.groups = shape.groups;
  if (c.tf_padding) {
    const SidePadding vertical = SamePadding(x.size.height, shape);
    const SidePadding horizontal = SamePadding(x.size.width, shape);
    settings.padding = {vertical.before, horizontal.before};
    settings.extra = {vertical.extra, horizontal.extra};
  } else {
    const int64_t padding = (shape.kernel - 1) / 2 * shape.dilation;
    settings.padding = {padding, padding};
  }
  PixelMap y = Convolve(layer, "convolution", x, settings,
                        {layer.Name("normalization"), epsilon > 0.0 ? epsilon : c.epsilon});
  GraphBuilder& g = layer.graph();
  if (after == After::kActivation) y.value = c.activation.Apply(g, layer.Name("act"), y.value);
  if (after == After::kRelu)
    y.value = g.Activation(layer.Name("act"), y.value, schema::fb::ActivationKind::Relu);
  return y;
}

PixelMap Stem(const MobileNetConfig& c, const Module& stem, PixelMap x) {
  const int64_t width = c.Multiplied(32);
  x = ConvolveAndNorm(c, stem["first_conv"], x, {width, 3, 2}, After::kActivation);
  if (!c.first_is_expansion)
    x = ConvolveAndNorm(c, stem["expand_1x1"], x, {width}, After::kActivation);
  x = ConvolveAndNorm(c, stem["conv_3x3"], x, {width, 3, 1, 1, width}, After::kActivation);
  return ConvolveAndNorm(c, stem["reduce_1x1"], x, {c.Multiplied(kChannels[0])}, After::kNothing);
}

PixelMap InvertedResidual(const MobileNetConfig& c, const Module& layer, const PixelMap& x,
                          int64_t out, int64_t stride, int64_t dilation) {
  const int64_t width = c.Divisible(static_cast<double>(x.channels) * c.expand_ratio);
  PixelMap y = ConvolveAndNorm(c, layer["expand_1x1"], x, {width}, After::kActivation);
  y = ConvolveAndNorm(c, layer["conv_3x3"], y, {width, 3, stride, dilation, width},
                      After::kActivation);
  y = ConvolveAndNorm(c, layer["reduce_1x1"], y, {out}, After::kNothing);
  if (stride == 1 && x.channels == out)
    y.value = layer.graph().Add(layer.Name("residual"), x.value, y.value);
  return y;
}

PixelMap Layers(const MobileNetConfig& c, const Module& model, PixelMap x) {
  x = Stem(c, model["conv_stem"], x);
  int64_t current_stride = 2;
  int64_t dilation = 1;
  for (size_t i = 0; i < std::size(kStrides); ++i) {
    int64_t stride = kStrides[i];
    int64_t layer_dilation = 1;
    if (current_stride == c.output_stride) {
      layer_dilation = dilation;
      dilation *= stride;
      stride = 1;
    } else {
      current_stride *= stride;
    }
    x = InvertedResidual(c, model["layer"][static_cast<int64_t>(i)], x,
                         c.Multiplied(kChannels[i + 1]), stride, layer_dilation);
  }
  return x;
}

// DeepLabV3+: the mean of all pixels beside the pixels themselves, as one product of the sum of two.
Status OutputMap(const MobileNetConfig& c, const PixelMap& x, GraphBuilder& g,
                 TaskDescription* task) {
  constexpr double kEpsilon = 1e-5;
  constexpr int64_t kWidth = 256;
  const Module head(g, "segmentation_head");
  PixelMap mean = x;
  mean.value = MeanOfPixels(g, "segmentation_head.mean", x);
  mean.size = {1, 1};
  mean = ConvolveAndNorm(c, head["conv_pool"], mean, {kWidth}, After::kRelu, kEpsilon);
  const PixelMap aspp = ConvolveAndNorm(c, head["conv_aspp"], x, {kWidth}, After::kRelu, kEpsilon);
  const Module projection = head["conv_projection"];
  PixelMap y = ConvolveSideBySide(projection, "convolution", {mean, aspp}, kWidth,
                                  {projection.Name("normalization"), kEpsilon}, x.size);
  y.value = g.Activation("segmentation_head.act", y.value, schema::fb::ActivationKind::Relu);
  const int64_t labels = g.RowsOf("segmentation_head.classifier.convolution.weight");
  ConvolutionSettings settings;
  settings.out_channels = std::max<int64_t>(1, labels);
  y = Convolve(head["classifier"], "convolution", y, settings);
  task->task = Task::kTensors;
  g.Output(g.Planes("logits", y.value, y.size));
  return OkStatus();
}

}  // namespace

Status LowerMobileNetV2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  task->architecture = "mobilenet_v2";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config, {"ForSemanticSegmentation"}));
  GRAFT_ASSIGN_OR_RETURN(const MobileNetConfig c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t channels, config.GetIntIn("num_channels", 1, kMaxWidth, 3));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(config, *task, 224));
  DescribeImage(channels, size, task);
  const Module model(graph,
                     FamilyPath(graph, "mobilenet_v2", "conv_stem.first_conv.convolution.weight"));
  PixelMap x = Layers(c, model, PixelValues(graph, channels, size));
  GRAFT_RETURN_IF_ERROR(graph.status());
  if (graph.Has("segmentation_head.classifier.convolution.weight"))
    return OutputMap(c, x, graph, task);
  const int64_t last = c.is_finegrained && c.multiplier < 1.0 ? 1280 : c.Multiplied(1280);
  x = ConvolveAndNorm(c, model["conv_1x1"], x, {last}, After::kActivation);
  const bool classifies = graph.Has("classifier.weight");
  const ValueId pooled = MeanOfPixels(graph, classifies ? "pooled" : "pooler_output", x);
  return OutputPixels(config, x, pooled, graph, task);
}

}  // namespace graft::converter
