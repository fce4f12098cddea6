// SPDX-License-Identifier: Apache-2.0
// ResNet: stages of residual layers of convolutions.
// Source   He et al. 2015.
#include <string>
#include <vector>

#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

struct ResNetConfig {
  int64_t embedding_size = 64;
  std::vector<int64_t> hidden_sizes, depths;
  PixelActivation activation;
  bool is_bottleneck = true;
  bool downsample_in_first_stage = false;
  bool downsample_in_bottleneck = false;
};

Result<ResNetConfig> ReadConfig(const JsonValue& config) {
  ResNetConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.embedding_size, config.GetIntIn("embedding_size", 1, kMaxWidth, 64));
  GRAFT_ASSIGN_OR_RETURN(c.hidden_sizes,
                         ReadNumbers(config, "hidden_sizes", kMaxWidth, {256, 512, 1024, 2048}));
  GRAFT_ASSIGN_OR_RETURN(
      c.depths, ReadNumbers(config, "depths", kMaxLayers, {3, 4, 6, 3}, c.hidden_sizes.size()));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadPixelActivation(config, "hidden_act", "relu"));
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString("layer_type", "bottleneck"));
  if (type != "bottleneck" && type != "basic") {
    return config.Find("layer_type")
        .Fail("is \"" + type + "\"; this version knows basic, bottleneck",
              StatusCode::kUnsupported);
  }
  c.is_bottleneck = type == "bottleneck";
  GRAFT_ASSIGN_OR_RETURN(c.downsample_in_first_stage,
                         config.GetBool("downsample_in_first_stage", false));
  GRAFT_ASSIGN_OR_RETURN(c.downsample_in_bottleneck,
                         config.GetBool("downsample_in_bottleneck", false));
  return c;
}

// A convolution with its norm and, unless it is the last before a sum, a ReLU: the activation that
// the configuration names is the sum's, and the stem's.
PixelMap ConvolveAndNorm(const Module& layer, const PixelMap& x,
                         const ConvolutionSettings& settings, bool activates) {
  PixelMap y = Convolve(layer, "convolution", x, settings, {layer.Name("normalization")});
  if (activates) {
    y.value =
        layer.graph().Activation(layer.Name("act"), y.value, schema::fb::ActivationKind::Relu);
  }
  return y;
}

PixelMap ResidualLayer(const ResNetConfig& c, const Module& layer, const PixelMap& x, int64_t out,
                       int64_t stride) {
  const Module parts = layer["layer"];
  const auto settings = [](int64_t channels, int64_t side, int64_t step) {
    return ConvolutionSettings::Same(channels, side, step);
  };
  PixelMap y;
  if (c.is_bottleneck) {
    const int64_t reduced = out / 4;
    const int64_t first = c.downsample_in_bottleneck ? stride : 1;
    y = ConvolveAndNorm(parts[0], x, settings(reduced, 1, first), true);
    y = ConvolveAndNorm(parts[1], y, settings(reduced, 3, stride / first), true);
    y = ConvolveAndNorm(parts[2], y, settings(out, 1, 1), false);
  } else {
    y = ConvolveAndNorm(parts[0], x, settings(out, 3, stride), true);
    y = ConvolveAndNorm(parts[1], y, settings(out, 3, 1), false);
  }
  PixelMap kept = x;
  if (x.channels != out || stride != 1)
    kept = ConvolveAndNorm(layer["shortcut"], x, settings(out, 1, stride), false);
  y.value = layer.graph().Add(layer.Name("residual"), y.value, kept.value);
  y.value = c.activation.Apply(layer.graph(), layer.Name("act"), y.value);
  return y;
}

PixelMap Encode(const ResNetConfig& c, const Module& model, PixelMap x) {
  const Module embedder = model["embedder"];
  x = ConvolveAndNorm(embedder["embedder"], x, ConvolutionSettings::Same(c.embedding_size, 7, 2),
                      false);
  x.value = c.activation.Apply(model.graph(), embedder.Name("act"), x.value);
  WindowShape window;
  window.channels = x.channels;
  window.height = x.size.height;
  window.width = x.size.width;
  window.kernel_height = window.kernel_width = 3;
  window.stride_height = window.stride_width = 2;
  window.pad_height = window.pad_width = 1;
  x.value =
      model.graph().PoolPixels(embedder.Name("pooler"), x.value, window, schema::fb::PoolKind::Max);
  x.size = {window.out_height(), window.out_width()};
  for (size_t stage = 0; stage < c.hidden_sizes.size(); ++stage) {
    const Module layers = model["encoder.stages"][static_cast<int64_t>(stage)]["layers"];
    for (int64_t i = 0; i < c.depths[stage]; ++i) {
      const bool shrinks = i == 0 && (stage > 0 || c.downsample_in_first_stage);
      x = ResidualLayer(c, layers[i], x, c.hidden_sizes[stage], shrinks ? 2 : 1);
    }
  }
  return x;
}

}  // namespace

Status LowerResNet(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  task->architecture = "resnet";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(const ResNetConfig c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t channels, config.GetIntIn("num_channels", 1, kMaxWidth, 3));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(config, *task, 224));
  DescribeImage(channels, size, task);
  const Module model(graph, FamilyPath(graph, "resnet", "embedder.embedder.convolution.weight"));
  const PixelMap x = Encode(c, model, PixelValues(graph, channels, size));
  const bool classifies = graph.Has("classifier.1.weight");
  graph.Rename("classifier.weight", "classifier.1.weight");
  graph.Rename("classifier.bias", "classifier.1.bias");
  const ValueId pooled = MeanOfPixels(graph, classifies ? "pooled" : "image_embedding", x);
  GRAFT_RETURN_IF_ERROR(OutputPixels(config, x, pooled, graph, task));
  if (!classifies) graph.Output(graph.Planes("pooler_output", pooled, {1, 1}));
  return OkStatus();
}

}  // namespace graft::converter
