// SPDX-License-Identifier: Apache-2.0
// ConvNeXt: a depthwise convolution where a transformer has attention.
// Source   Liu et al. 2022.
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kEpsilon = 1e-6f;  // of all norms but the last

struct ConvNextConfig {
  std::vector<int64_t> hidden_sizes, depths;
  ImageSize patch;
  PixelActivation activation;
  float epsilon = 0.0f;
  bool has_layer_scale = true;
};

Result<ConvNextConfig> ReadConfig(const JsonValue& config) {
  ConvNextConfig c;
  GRAFT_ASSIGN_OR_RETURN(const int64_t stages, config.GetIntIn("num_stages", 1, 64, 4));
  GRAFT_ASSIGN_OR_RETURN(c.hidden_sizes,
                         ReadNumbers(config, "hidden_sizes", kMaxWidth, {96, 192, 384, 768}));
  GRAFT_ASSIGN_OR_RETURN(c.depths, ReadNumbers(config, "depths", kMaxLayers, {3, 3, 9, 3}));
  const auto count = static_cast<size_t>(stages);
  if (c.hidden_sizes.size() < count || c.depths.size() < count)
    return config.Find("num_stages").Fail("is more than 'hidden_sizes' and 'depths' have numbers");
  if (c.hidden_sizes.size() != count) {
    return config.Find("num_stages")
        .Fail("is less than 'hidden_sizes' has numbers, of which the last is the head's",
              StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(c.patch, ReadSides(config, "patch_size", 4));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadPixelActivation(config, "hidden_act", "gelu"));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "layer_norm_eps", 1e-12));
  GRAFT_ASSIGN_OR_RETURN(const double scale, config.GetDouble("layer_scale_init_value", 1e-6));
  c.has_layer_scale = scale > 0;
  return c;
}

PixelMap Layer(const ConvNextConfig& c, const Module& layer, const PixelMap& x) {
  GraphBuilder& g = layer.graph();
  const int64_t width = x.channels;
  PixelMap y = Convolve(layer, "dwconv", x, ConvolutionSettings::Same(width, 7, 1, width));
  ValueId h = layer.LayerNorm("layernorm", y.value, kEpsilon);
  h = layer.Linear("pwconv1", h, 4 * width, /*bias=*/true);
  h = c.activation.Apply(g, layer.Name("act"), h);
  const std::string scale = c.has_layer_scale ? layer.Name("layer_scale_parameter") : "";
  h = ScaledLinear(layer, "pwconv2", h, width, scale);
  y.value = g.Add(layer.Name("residual"), x.value, h);
  return y;
}

}  // namespace

Status LowerConvNext(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  task->architecture = "convnext";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(const ConvNextConfig c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t channels, config.GetIntIn("num_channels", 1, kMaxWidth, 3));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(config, *task, 224));
  DescribeImage(channels, size, task);
  const Module model(graph, FamilyPath(graph, "convnext", "embeddings.patch_embeddings.weight"));
  const auto patches = [](int64_t out, const ImageSize& side) {
    ConvolutionSettings settings;
    settings.out_channels = out;
    settings.kernel = settings.stride = side;
    return settings;
  };
  PixelMap x = PixelValues(graph, channels, size);
  x = Convolve(model["embeddings"], "patch_embeddings", x, patches(c.hidden_sizes[0], c.patch));
  x.value = model["embeddings"].LayerNorm("layernorm", x.value, kEpsilon);
  for (size_t stage = 0; stage < c.hidden_sizes.size(); ++stage) {
    const Module at = model["encoder.stages"][static_cast<int64_t>(stage)];
    if (stage > 0) {
      x.value = at["downsampling_layer"].LayerNorm("0", x.value, kEpsilon);
      x = Convolve(at["downsampling_layer"], "1", x, patches(c.hidden_sizes[stage], {2, 2}));
    }
    for (int64_t i = 0; i < c.depths[stage]; ++i) x = Layer(c, at["layers"][i], x);
  }
  GRAFT_RETURN_IF_ERROR(graph.status());
  const bool classifies = graph.Has("classifier.weight");
  const ValueId mean = MeanOfPixels(graph, "pooled", x);
  const std::string norm = model.Name("layernorm");
  const TensorId weight = graph.Vector(norm + ".weight", x.channels);
  const TensorId bias = graph.Vector(norm + ".bias", x.channels);
  const ValueId pooled =
      graph.LayerNorm(classifies ? norm : "pooler_output", mean, weight, bias, c.epsilon);
  return OutputPixels(config, x, pooled, graph, task);
}

}  // namespace graft::converter
