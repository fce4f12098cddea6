// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/vision/vision_encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/architectures/vision/pixel_map.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

std::string ScaleOf(const Module& layer, const char* name) {
  return name == nullptr ? "" : layer.Name(name);
}

ValueId Attend(const VisionEncoder& e, const Module& layer, ValueId x, TensorId score_bias) {
  GraphBuilder& g = layer.graph();
  const int64_t width = e.sizes.attention.heads * e.sizes.attention.head_dim;
  ValueId query = layer.Linear(e.names.query, x, width, e.query_bias);
  ValueId key = layer.Linear(e.names.key, x, width, e.key_bias);
  const ValueId value = layer.Linear(e.names.value, x, width, e.value_bias);
  if (e.angles.index >= 0) {
    query = g.Rotate(layer.Name("query_rotated"), query, e.angles, e.sizes.attention.head_dim);
    key = g.Rotate(layer.Name("key_rotated"), key, e.angles, e.sizes.attention.head_dim);
  }
  AttentionShape shape = e.sizes.attention;
  shape.score_bias = score_bias;
  const ValueId attended =
      g.Attention(layer.Name("attention"), query, key, value, ValueId{}, shape);
  return ScaledLinear(layer, e.names.attention_output, attended, e.sizes.hidden,
                      ScaleOf(layer, e.names.attention_scale), e.output_bias);
}

ValueId Mlp(const VisionEncoder& e, const Module& layer, ValueId x) {
  GraphBuilder& g = layer.graph();
  const int64_t width = e.sizes.mlp_hidden;
  ValueId h;
  if (e.mlp_gate_is_fused) {
    const FusedLinear fused = {e.names.mlp_up, 2 * width, e.mlp_bias};
    const ValueId gate = layer.Linear(fused, "gate", x, width, RowRuns{.begin = 0});
    h = layer.Linear(fused, "up", x, width, RowRuns{.begin = width});
    h = g.GatedActivation(layer.Name("mlp.act"), gate, h, e.sizes.activation);
  } else if (e.names.mlp_gate != nullptr) {
    const ValueId gate = layer.Linear(e.names.mlp_gate, x, width, e.mlp_bias);
    h = layer.Linear(e.names.mlp_up, x, width, e.mlp_bias);
    h = g.GatedActivation(layer.Name("mlp.act"), gate, h, e.sizes.activation);
  } else {
    h = layer.Linear(e.names.mlp_up, x, width, e.mlp_bias);
    h = g.Activation(layer.Name("mlp.act"), h, e.sizes.activation);
  }
  return ScaledLinear(layer, e.names.mlp_down, h, e.sizes.hidden, ScaleOf(layer, e.names.mlp_scale),
                      e.mlp_bias);
}

// Keys' cubic convolution.
double Cubic(double x, double a) {
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
  return 0.0;
}

// Which places of a side make place `i` of another, and how much of each.
struct Neighbours {
  std::vector<int64_t> at;
  std::vector<double> weights;
};

Neighbours NeighboursOf(int64_t i, int64_t side, int64_t out_side, bool antialias) {
  const double step = static_cast<double>(side) / static_cast<double>(out_side);
  const double place = (static_cast<double>(i) + 0.5) * step - 0.5;
  const double scale = antialias ? std::max(1.0, step) : 1.0;
  const auto reach = static_cast<int64_t>(std::ceil(2.0 * scale));
  const auto middle = static_cast<int64_t>(std::floor(place));
  Neighbours n;
  double total = 0.0;
  for (int64_t k = middle - reach; k <= middle + reach; ++k) {
    const double weight = Cubic((static_cast<double>(k) - place) / scale, antialias ? -0.5 : -0.75);
    // Beyond the edge the last place is repeated, or, with antialiasing, there is none.
    if (weight == 0.0 || (antialias && (k < 0 || k >= side))) continue;
    n.at.push_back(std::clamp<int64_t>(k, 0, side - 1));
    n.weights.push_back(weight);
    total += weight;
  }
  for (double& weight : n.weights) weight /= total;
  return n;
}

}  // namespace

Result<EncoderSizes> ReadVisionSizes(const JsonValue& config, const VisionDefaults& defaults) {
  EncoderSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.hidden,
                         config.GetIntIn("hidden_size", 1, kMaxWidth, defaults.hidden));
  GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden,
                         config.GetIntIn("intermediate_size", 1, kMaxWidth, defaults.mlp_hidden));
  GRAFT_ASSIGN_OR_RETURN(sizes.layers,
                         config.GetIntIn("num_hidden_layers", 1, kMaxLayers, defaults.layers));
  AttentionShape& attention = sizes.attention;
  GRAFT_ASSIGN_OR_RETURN(attention.heads,
                         config.GetIntIn("num_attention_heads", 1, kMaxHeads, defaults.heads));
  if (sizes.hidden % attention.heads != 0) {
    return config.Find("num_attention_heads")
        .Fail("is " + std::to_string(attention.heads) + ", which does not divide the width of " +
              std::to_string(sizes.hidden));
  }
  attention.kv_heads = attention.heads;
  attention.head_dim = sizes.hidden / attention.heads;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  GRAFT_ASSIGN_OR_RETURN(sizes.epsilon, ReadEpsilon(config, "layer_norm_eps", defaults.epsilon));
  if (!config.Has("hidden_act")) {
    GRAFT_ASSIGN_OR_RETURN(sizes.activation, ActivationFromName(defaults.activation));
  } else {
    GRAFT_ASSIGN_OR_RETURN(sizes.activation, ReadActivation(config, "hidden_act"));
  }
  return sizes;
}

ValueId VisionLayer(const VisionEncoder& e, const Module& layer, ValueId x, TensorId score_bias,
                    const std::string& output) {
  ValueId h = EncoderNorm(layer, e.names.attention_norm, x, e.sizes.epsilon);
  h = Attend(e, layer, h, score_bias);
  x = layer.graph().Add(layer.Name("attention_residual"), x, h);
  h = EncoderNorm(layer, e.names.mlp_norm, x, e.sizes.epsilon);
  h = Mlp(e, layer, h);
  return layer.graph().Add(output.empty() ? layer.Name("mlp_residual") : output, x, h);
}

Result<PatchShape> ReadPatchShape(const JsonValue& config, const ImageSize& image,
                                  int64_t patch_side) {
  PatchShape shape;
  shape.image = image;
  GRAFT_ASSIGN_OR_RETURN(shape.channels, config.GetIntIn("num_channels", 1, int64_t{1} << 16, 3));
  GRAFT_ASSIGN_OR_RETURN(shape.patch, ReadSides(config, "patch_size", patch_side));
  if (shape.patch.height > image.height || shape.patch.width > image.width)
    return config.Find("patch_size").Fail("is larger than the image");
  return shape;
}

ValueId PatchRows(const Module& module, std::string_view name, const PatchShape& shape,
                  int64_t width, bool bias) {
  GraphBuilder& g = module.graph();
  const PixelMap image = PixelValues(g, shape.channels, shape.image);
  WindowShape window;
  window.channels = shape.channels;
  window.height = shape.image.height;
  window.width = shape.image.width;
  window.kernel_height = window.stride_height = shape.patch.height;
  window.kernel_width = window.stride_width = shape.patch.width;
  const ValueId patches = g.Patches("patches", image.value, window);
  const std::string path = module.Name(name);
  const TensorId kernels = g.Kernels(path + ".weight", width, window);
  return g.Linear(path, patches, kernels, bias ? g.Vector(path + ".bias", width) : TensorId{});
}

ValueId StoredRows(GraphBuilder& graph, const std::string& name,
                   const std::vector<int64_t>& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return graph.ConstantRows(name, graph.Stored(name, shape), rows, shape.back());
}

Result<ValueId> PositionsOf(GraphBuilder& graph, const std::string& name, int64_t prefix,
                            int64_t stored_rows, int64_t width, const ImageSize& grid,
                            bool antialias) {
  const int64_t rows = prefix + grid.pixels();
  const auto side =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(stored_rows - prefix))));
  if (rows == stored_rows && grid.height == grid.width) {
    return StoredRows(graph, name, {1, stored_rows, width});
  }
  if (side * side != stored_rows - prefix) {
    return Error(StatusCode::kUnsupported,
                 "%s: '%s' has positions of %lld patches, which are no square, and the image has "
                 "%lld x %lld",
                 graph.source_name().c_str(), name.c_str(),
                 static_cast<long long>(stored_rows - prefix), static_cast<long long>(grid.height),
                 static_cast<long long>(grid.width));
  }
  const std::vector<double> stored = graph.NumbersOfRows(name, 3, stored_rows, width);
  std::vector<float> numbers(static_cast<size_t>(rows * width));
  std::copy_n(stored.begin(), prefix * width, numbers.begin());
  for (int64_t y = 0; y < grid.height; ++y) {
    const Neighbours down = NeighboursOf(y, side, grid.height, antialias);
    for (int64_t x = 0; x < grid.width; ++x) {
      const Neighbours across = NeighboursOf(x, side, grid.width, antialias);
      float* to = &numbers[static_cast<size_t>((prefix + y * grid.width + x) * width)];
      for (int64_t i = 0; i < width; ++i) {
        double sum = 0.0;
        for (size_t a = 0; a < down.at.size(); ++a) {
          for (size_t b = 0; b < across.at.size(); ++b) {
            const int64_t from = prefix + down.at[a] * side + across.at[b];
            sum +=
                down.weights[a] * across.weights[b] * stored[static_cast<size_t>(from * width + i)];
          }
        }
        to[i] = static_cast<float>(sum);
      }
    }
  }
  const TensorId tensor = graph.LiteralMatrix(name + ".interpolated", std::move(numbers), width);
  return graph.ConstantRows(name, tensor, rows, width);
}

ValueId RowsFrom(GraphBuilder& graph, const std::string& name, ValueId x, int64_t first,
                 int64_t end) {
  std::vector<int32_t> rows(static_cast<size_t>(end - first));
  std::iota(rows.begin(), rows.end(), static_cast<int32_t>(first));
  return graph.TakeRows(name, x, rows);
}

}  // namespace graft::converter
