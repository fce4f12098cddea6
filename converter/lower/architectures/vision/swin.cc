// SPDX-License-Identifier: Apache-2.0
// Swin: attention within windows of an image, which every other layer moves by half.
// Source   Liu et al. 2021.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/architectures/vision/vision_encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

struct SwinConfig {
  std::vector<int64_t> depths, heads;
  int64_t embed_dim = 96;
  int64_t window = 7;
  double mlp_ratio = 4.0;
  bool qkv_bias = true;
  bool has_positions = false;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  PatchShape patches;
};

Result<SwinConfig> ReadConfig(const JsonValue& config) {
  SwinConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.depths, ReadNumbers(config, "depths", kMaxLayers, {2, 2, 6, 2}));
  GRAFT_ASSIGN_OR_RETURN(
      c.heads, ReadNumbers(config, "num_heads", kMaxHeads, {3, 6, 12, 24}, c.depths.size()));
  if (c.depths.size() > 16) return config.Find("depths").Fail("has more than 16 stages");
  GRAFT_ASSIGN_OR_RETURN(c.embed_dim, config.GetIntIn("embed_dim", 1, 4096, 96));
  GRAFT_ASSIGN_OR_RETURN(c.window, config.GetIntIn("window_size", 1, 64, 7));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_ratio, ReadPositive(config, "mlp_ratio", 4.0));
  if (c.mlp_ratio > 64.0) return config.Find("mlp_ratio").Fail("must be at most 64");
  GRAFT_ASSIGN_OR_RETURN(c.qkv_bias, config.GetBool("qkv_bias", true));
  GRAFT_ASSIGN_OR_RETURN(c.has_positions, config.GetBool("use_absolute_embeddings", false));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "layer_norm_eps", 1e-5));
  if (config.Has("hidden_act")) {
    GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "hidden_act"));
  } else {
    c.activation = schema::fb::ActivationKind::Gelu;
  }
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadSides(config, "image_size", 224));
  GRAFT_ASSIGN_OR_RETURN(c.patches, ReadPatchShape(config, size, 4));
  return c;
}

// An image cut into windows, after it was moved up and left, round about; with zeros below and right
// so that all windows are whole.
struct Windows {
  ImageSize size, padded;
  int64_t side = 1, shift = 0;

  int64_t across() const { return padded.width / side; }
  bool is_plain() const {
    return shift == 0 && padded.width == side && size.pixels() == padded.pixels();
  }

  // For each row of each window, one window after the other, the pixel it is; -1: zeros.
  std::vector<int32_t> Pixels() const {
    std::vector<int32_t> pixels;
    ForEach([&](int64_t y, int64_t x) {
      const int64_t row = (y + shift) % padded.height;
      const int64_t column = (x + shift) % padded.width;
      const bool inside = row < size.height && column < size.width;
      pixels.push_back(static_cast<int32_t>(inside ? row * size.width + column : -1));
    });
    return pixels;
  }

  // For each pixel, the row of windows it is.
  std::vector<int32_t> Rows() const {
    std::vector<int32_t> rows;
    for (int64_t pixel = 0; pixel < size.pixels(); ++pixel) {
      const int64_t y = (pixel / size.width + padded.height - shift) % padded.height;
      const int64_t x = (pixel % size.width + padded.width - shift) % padded.width;
      const int64_t window = y / side * across() + x / side;
      rows.push_back(static_cast<int32_t>((window * side + y % side) * side + x % side));
    }
    return rows;
  }

  // For each row of windows which part of the unmoved image it is of: what was on opposite sides
  // lies side by side, and does not see each other.
  std::vector<uint8_t> Regions() const {
    std::vector<uint8_t> regions;
    if (shift == 0) return regions;
    const auto part = [&](int64_t at, int64_t all) {
      return at < all - side ? 0 : at < all - shift ? 1 : 2;
    };
    ForEach([&](int64_t y, int64_t x) {
      regions.push_back(static_cast<uint8_t>(3 * part(y, padded.height) + part(x, padded.width)));
    });
    return regions;
  }

 private:
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (int64_t window = 0; window < padded.pixels() / (side * side); ++window) {
      for (int64_t i = 0; i < side * side; ++i)
        visit(window / across() * side + i / side, window % across() * side + i % side);
    }
  }
};

Windows WindowsOf(const ImageSize& size, int64_t window, bool is_shifted) {
  Windows w;
  w.size = size;
  w.side = window;
  w.shift = is_shifted && std::min(size.height, size.width) > window ? window / 2 : 0;
  w.padded = {(size.height + window - 1) / window * window,
              (size.width + window - 1) / window * window};
  return w;
}

// Of each head, for each pair of a window's rows.
TensorId PairBias(const SwinConfig& c, const Module& attention, int64_t heads) {
  GraphBuilder& g = attention.graph();
  const int64_t side = 2 * c.window - 1;
  const std::vector<double> table =
      g.NumbersOfRows(attention.Name("self.relative_position_bias_table"), 2, side * side, heads);
  const int64_t rows = c.window * c.window;
  std::vector<float> bias;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < rows; ++j) {
        const int64_t down = i / c.window - j / c.window + c.window - 1;
        const int64_t across = i % c.window - j % c.window + c.window - 1;
        bias.push_back(
            static_cast<float>(table[static_cast<size_t>((down * side + across) * heads + head)]));
      }
    }
  }
  return g.Literal(attention.Name("pair_bias"), std::move(bias));
}

ValueId Attend(const SwinConfig& c, const Module& layer, ValueId x, const Windows& windows,
               int64_t heads) {
  GraphBuilder& g = layer.graph();
  const int64_t width = g.Width(x);
  const Module attention = layer["attention"];
  if (!windows.is_plain()) x = g.TakeRows(layer.Name("windows"), x, windows.Pixels());
  const ValueId query = attention.Linear("self.query", x, width, c.qkv_bias);
  const ValueId key = attention.Linear("self.key", x, width, c.qkv_bias);
  const ValueId value = attention.Linear("self.value", x, width, c.qkv_bias);
  AttentionShape shape;
  shape.heads = shape.kv_heads = heads;
  shape.head_dim = width / heads;
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  shape.score_bias = PairBias(c, attention, heads);
  shape.block = c.window * c.window;
  shape.regions = windows.Regions();
  x = g.Attention(attention.path(), query, key, value, ValueId{}, shape);
  // Each row by itself: which rows are left out does not matter to those that stay.
  if (!windows.is_plain()) x = g.TakeRows(layer.Name("pixels"), x, windows.Rows());
  return attention.Linear("output.dense", x, width, /*bias=*/true);
}

ValueId Block(const SwinConfig& c, const Module& layer, ValueId x, const Windows& windows,
              int64_t heads) {
  GraphBuilder& g = layer.graph();
  const int64_t width = g.Width(x);
  ValueId h = EncoderNorm(layer, "layernorm_before", x, c.epsilon);
  h = Attend(c, layer, h, windows, heads);
  x = g.Add(layer.Name("attention_residual"), x, h);
  h = EncoderNorm(layer, "layernorm_after", x, c.epsilon);
  const auto inner = static_cast<int64_t>(c.mlp_ratio * static_cast<double>(width));
  h = layer.Linear("intermediate.dense", h, inner, /*bias=*/true);
  h = g.Activation(layer.Name("mlp.act"), h, c.activation);
  h = layer.Linear("output.dense", h, width, /*bias=*/true);
  return g.Add(layer.Name("mlp_residual"), x, h);
}

// Each four pixels become one: side by side, normalized, and projected. The checkpoint has them
// column by column, a window row by row and channel by channel.
PixelMap Merge(const Module& merging, const PixelMap& x, float epsilon) {
  GraphBuilder& g = merging.graph();
  const ImageSize size = {(x.size.height + 1) / 2, (x.size.width + 1) / 2};
  WindowShape window;
  window.channels = x.channels;
  window.height = 2 * size.height;
  window.width = 2 * size.width;
  window.kernel_height = window.kernel_width = 2;
  window.stride_height = window.stride_width = 2;
  ValueId pixels = x.value;
  if (window.height * window.width != x.size.pixels()) {
    Windows whole;
    whole.size = x.size;
    whole.padded = {window.height, window.width};
    pixels = g.TakeRows(merging.Name("padded"), pixels, whole.Pixels());
  }
  const ValueId patches = g.Patches(merging.Name("patches"), pixels, window);
  const int64_t width = 4 * x.channels;
  std::vector<int64_t> order;
  for (int64_t i = 0; i < width; ++i)
    order.push_back((i % 4 / 2 + 2 * (i % 2)) * x.channels + i / 4);
  const auto vector = [&](const std::string& name) {
    TensorPart part{.source = name, .source_rows = width};
    part.rows.listed = order;
    return g.Vector(name, std::move(part), width);
  };
  const std::string norm = merging.Name("norm");
  const TensorId weight = vector(norm + ".weight");
  const TensorId bias = vector(norm + ".bias");
  const ValueId normed = g.LayerNorm(norm, patches, weight, bias, epsilon);
  const std::string reduction = merging.Name("reduction");
  TensorPart part{.source = reduction + ".weight", .source_rows = 2 * x.channels};
  part.columns = order;
  part.source_columns = width;
  const TensorId matrix = g.Matrix(reduction + ".weight", std::move(part), 2 * x.channels, width);
  return {g.Linear(reduction, normed, matrix), 2 * x.channels, size};
}

Result<PixelMap> Embed(const SwinConfig& c, const Module& embeddings) {
  GraphBuilder& g = embeddings.graph();
  PixelMap x = PixelValues(g, c.patches.channels, c.patches.image);
  ConvolutionSettings settings;
  settings.out_channels = c.embed_dim;
  settings.kernel = settings.stride = c.patches.patch;
  const auto missing = [](int64_t side, int64_t patch) { return (patch - side % patch) % patch; };
  settings.extra = {missing(x.size.height, settings.kernel.height),
                    missing(x.size.width, settings.kernel.width)};
  x = Convolve(embeddings, "patch_embeddings.projection", x, settings);
  x.value = EncoderNorm(embeddings, "norm", x.value, 1e-5f);
  if (!c.has_positions) return x;
  if (x.size.pixels() != c.patches.patches()) {
    return Error(StatusCode::kUnsupported,
                 "%s: has positions for whole patches, and the image has others",
                 g.source_name().c_str());
  }
  x.value = g.Add(
      "with_positions", x.value,
      StoredRows(g, embeddings.Name("position_embeddings"), {1, x.size.pixels(), x.channels}));
  return x;
}

Result<PixelMap> Encode(const SwinConfig& c, const JsonValue& config, const Module& model) {
  GRAFT_ASSIGN_OR_RETURN(PixelMap x, Embed(c, model["embeddings"]));
  for (size_t stage = 0; stage < c.depths.size(); ++stage) {
    const Module layers = model["encoder.layers"][static_cast<int64_t>(stage)];
    if (std::min(x.size.height, x.size.width) < c.window) {
      return config.Find("window_size")
          .Fail("is larger than the image of stage " + std::to_string(stage),
                StatusCode::kUnsupported);
    }
    if (x.channels % c.heads[stage] != 0)
      return config.Find("num_heads")
          .Fail("does not divide the width of " + std::to_string(x.channels));
    for (int64_t i = 0; i < c.depths[stage]; ++i) {
      const Windows windows = WindowsOf(x.size, c.window, i % 2 == 1);
      x.value = Block(c, layers["blocks"][i], x.value, windows, c.heads[stage]);
    }
    if (stage + 1 < c.depths.size()) x = Merge(layers["downsample"], x, 1e-5f);
    GRAFT_RETURN_IF_ERROR(model.graph().status());
  }
  return x;
}

}  // namespace

Status LowerSwin(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  task->architecture = "swin";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(const SwinConfig c, ReadConfig(config));
  DescribeImage(c.patches.channels, c.patches.image, task);
  const Module model(g, FamilyPath(g, "swin", "embeddings.patch_embeddings.projection.weight"));
  GRAFT_ASSIGN_OR_RETURN(PixelMap x, Encode(c, config, model));
  x.value = EncoderNorm(model, "layernorm", x.value, c.epsilon, "last_hidden_state");
  const bool classifies = g.Has("classifier.weight");
  const ValueId pooled = MeanOfPixels(g, classifies ? "pooled" : "pooler_output", x);
  if (classifies) return ClassifyImage(config, pooled, g, task).status();
  task->task = Task::kEmbedding;
  g.Output(pooled);
  g.Output(x.value);
  return OkStatus();
}

}  // namespace graft::converter
