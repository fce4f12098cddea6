// SPDX-License-Identifier: Apache-2.0
// SegFormer: attention to a smaller image, convolutions in the MLP, and a map of scores.
// Source   Xie et al. 2021.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kEpsilon = 1e-5f;  // of all norms, whatever the configuration says
constexpr int64_t kMaxRatio = 64;

struct SegformerConfig {
  std::vector<int64_t> depths, reductions, widths, patch_sizes, strides, heads, mlp_ratios;
  PixelActivation activation;
  int64_t decoder_width = 256;
};

Result<SegformerConfig> ReadConfig(const JsonValue& config) {
  SegformerConfig c;
  GRAFT_ASSIGN_OR_RETURN(const int64_t stages, config.GetIntIn("num_encoder_blocks", 1, 16, 4));
  const auto count = static_cast<size_t>(stages);
  const struct {
    const char* key;
    int64_t most;
    std::vector<int64_t> fallback;
    std::vector<int64_t>* to;
  } lists[] = {{"depths", kMaxLayers, {2, 2, 2, 2}, &c.depths},
               {"sr_ratios", kMaxRatio, {8, 4, 2, 1}, &c.reductions},
               {"hidden_sizes", kMaxWidth, {32, 64, 160, 256}, &c.widths},
               {"patch_sizes", kMaxRatio, {7, 3, 3, 3}, &c.patch_sizes},
               {"strides", kMaxRatio, {4, 2, 2, 2}, &c.strides},
               {"num_attention_heads", kMaxHeads, {1, 2, 5, 8}, &c.heads},
               {"mlp_ratios", kMaxRatio, {4, 4, 4, 4}, &c.mlp_ratios}};
  for (const auto& list : lists) {
    GRAFT_ASSIGN_OR_RETURN(*list.to,
                           ReadNumbers(config, list.key, list.most, list.fallback, count));
  }
  for (size_t i = 0; i < count; ++i) {
    if (c.widths[i] % c.heads[i] == 0) continue;
    return config.Find("num_attention_heads")
        .Fail("has " + std::to_string(c.heads[i]) + ", which does not divide the width of " +
              std::to_string(c.widths[i]));
  }
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadPixelActivation(config, "hidden_act", "gelu"));
  GRAFT_ASSIGN_OR_RETURN(c.decoder_width,
                         config.GetIntIn("decoder_hidden_size", 1, kMaxWidth, 256));
  return c;
}

ValueId Attend(const SegformerConfig& c, const Module& layer, const PixelMap& x, size_t stage) {
  GraphBuilder& g = layer.graph();
  const Module own = layer["attention.self"];
  const int64_t width = x.channels;
  ValueId seen = x.value;
  if (c.reductions[stage] > 1) {
    ConvolutionSettings settings;
    settings.out_channels = width;
    settings.kernel = settings.stride = {c.reductions[stage], c.reductions[stage]};
    seen = Convolve(own, "sr", x, settings).value;
    seen = EncoderNorm(own, "layer_norm", seen, kEpsilon);
  }
  const ValueId query = own.Linear("query", x.value, width, /*bias=*/true);
  const ValueId key = own.Linear("key", seen, width, /*bias=*/true);
  const ValueId value = own.Linear("value", seen, width, /*bias=*/true);
  AttentionShape shape;
  shape.heads = shape.kv_heads = c.heads[stage];
  shape.head_dim = width / shape.heads;
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  const ValueId attended = g.Attention(own.path(), query, key, value, ValueId{}, shape);
  return layer.Linear("attention.output.dense", attended, width, /*bias=*/true);
}

PixelMap Layer(const SegformerConfig& c, const Module& layer, PixelMap x, size_t stage) {
  GraphBuilder& g = layer.graph();
  PixelMap h = x;
  h.value = EncoderNorm(layer, "layer_norm_1", x.value, kEpsilon);
  h.value = Attend(c, layer, h, stage);
  x.value = g.Add(layer.Name("attention_residual"), x.value, h.value);
  h.value = EncoderNorm(layer, "layer_norm_2", x.value, kEpsilon);
  const Module mlp = layer["mlp"];
  h.channels = x.channels * c.mlp_ratios[stage];
  h.value = mlp.Linear("dense1", h.value, h.channels, /*bias=*/true);
  h = Convolve(mlp, "dwconv.dwconv", h, ConvolutionSettings::Same(h.channels, 3, 1, h.channels));
  h.value = c.activation.Apply(g, mlp.Name("act"), h.value);
  h.value = mlp.Linear("dense2", h.value, x.channels, /*bias=*/true);
  x.value = g.Add(layer.Name("mlp_residual"), x.value, h.value);
  return x;
}

std::vector<PixelMap> Encode(const SegformerConfig& c, const Module& model, PixelMap x) {
  const Module encoder = model["encoder"];
  std::vector<PixelMap> maps;
  for (size_t stage = 0; stage < c.depths.size(); ++stage) {
    const auto index = static_cast<int64_t>(stage);
    const Module patches = encoder["patch_embeddings"][index];
    x = Convolve(
        patches, "proj", x,
        ConvolutionSettings::Same(c.widths[stage], c.patch_sizes[stage], c.strides[stage]));
    x.value = EncoderNorm(patches, "layer_norm", x.value, kEpsilon);
    for (int64_t i = 0; i < c.depths[stage]; ++i)
      x = Layer(c, encoder["block"][index][i], x, stage);
    x.value = EncoderNorm(encoder["layer_norm"], std::to_string(stage), x.value, kEpsilon);
    maps.push_back(x);
  }
  return maps;
}

// Scores at each pixel of the first stage. The maps are multiplied before they are brought to one
// size: it is the same, and there are fewer pixels.
Status OutputMap(const SegformerConfig& c, const std::vector<PixelMap>& maps, GraphBuilder& g,
                 TaskDescription* task) {
  const Module head(g, "decode_head");
  std::vector<PixelMap> parts;
  for (size_t stage = maps.size(); stage-- > 0;) {
    PixelMap part = maps[stage];
    const Module linear = head["linear_c"][static_cast<int64_t>(stage)];
    part.value = linear.Linear("proj", part.value, c.decoder_width, /*bias=*/true);
    part.channels = c.decoder_width;
    parts.push_back(part);
  }
  PixelMap x = ConvolveSideBySide(head, "linear_fuse", parts, c.decoder_width,
                                  {head.Name("batch_norm"), 1e-5}, maps[0].size);
  x.value = g.Activation(head.Name("act"), x.value, schema::fb::ActivationKind::Relu);
  ConvolutionSettings settings;
  settings.out_channels = std::max<int64_t>(1, g.RowsOf("decode_head.classifier.weight"));
  x = Convolve(head, "classifier", x, settings);
  task->task = Task::kTensors;
  g.Output(g.Planes("logits", x.value, x.size));
  return OkStatus();
}

}  // namespace

Status LowerSegformer(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  task->architecture = "segformer";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config, {"ForSemanticSegmentation"}));
  GRAFT_ASSIGN_OR_RETURN(const SegformerConfig c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t channels, config.GetIntIn("num_channels", 1, kMaxWidth, 3));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(config, *task, 512));
  DescribeImage(channels, size, task);
  const Module model(graph,
                     FamilyPath(graph, "segformer", "encoder.patch_embeddings.0.proj.weight"));
  const std::vector<PixelMap> maps = Encode(c, model, PixelValues(graph, channels, size));
  GRAFT_RETURN_IF_ERROR(graph.status());
  if (graph.Has("decode_head.classifier.weight")) return OutputMap(c, maps, graph, task);
  if (graph.Has("classifier.weight")) {
    const ValueId pooled = MeanOfPixels(graph, "pooled", maps.back());
    return ClassifyImage(config, pooled, graph, task).status();
  }
  task->task = Task::kTensors;
  graph.Output(graph.Planes("last_hidden_state", maps.back().value, maps.back().size));
  return OkStatus();
}

}  // namespace graft::converter
