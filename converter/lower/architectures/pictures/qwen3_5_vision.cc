// SPDX-License-Identifier: Apache-2.0
// Qwen's image tower, whose rows turn by their places, and the merger of its patches.
// Source   Qwen Team 2025 (Qwen3-VL), 2026.
#include <cmath>
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/pictures/vision_part.h"
#include "converter/lower/architectures/vision/vision_encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kEpsilon = 1e-6f;
constexpr double kTheta = 10000.0;
constexpr int64_t kMaxMerge = 32;
constexpr int64_t kMaxFrames = 16;
constexpr int64_t kMaxPositions = int64_t{1} << 20;

struct Tower {
  EncoderSizes sizes;
  RopeShape rope;
  ValueId places;
};

// The first half of a head's frequencies turns by the row, the second, which is the same, by the
// column.
RopeShape RopeByPlaces(GraphBuilder& g, int64_t head_dim) {
  const int64_t quarter = head_dim / 4;
  std::vector<float> inverse;
  RopeShape rope;
  rope.head_dim = rope.rotary_dim = head_dim;
  for (int64_t i = 0; i < 2 * quarter; ++i) {
    const double exponent = static_cast<double>(i % quarter) / static_cast<double>(quarter);
    inverse.push_back(static_cast<float>(1.0 / std::pow(kTheta, exponent)));
    rope.axes.push_back(i < quarter ? 1 : 2);
  }
  rope.inverse_frequencies = g.Literal("vision_tower.inverse_frequencies", inverse);
  return rope;
}

ValueId Layer(const Tower& tower, const Module& layer, ValueId x) {
  GraphBuilder& g = layer.graph();
  const EncoderSizes& sizes = tower.sizes;
  const Module attention = layer["attn"];
  const FusedLinear fused = {"qkv", 3 * sizes.hidden, /*bias=*/true};
  const auto part = [&](const char* name, int64_t index, ValueId rows) {
    return attention.Linear(fused, name, rows, sizes.hidden,
                            RowRuns{.begin = index * sizes.hidden});
  };
  ValueId h = layer.LayerNorm("norm1", x, kEpsilon);
  ValueId query = part("query", 0, h);
  ValueId key = part("key", 1, h);
  const ValueId value = part("value", 2, h);
  query = g.Rope(attention.Name("q_rotated"), query, tower.places, tower.rope);
  key = g.Rope(attention.Name("k_rotated"), key, tower.places, tower.rope);
  h = g.Attention(attention.path(), query, key, value, ValueId{}, sizes.attention);
  x = g.Add(layer.Name("attention_residual"), x,
            attention.Linear("proj", h, sizes.hidden, /*bias=*/true));
  h = layer.LayerNorm("norm2", x, kEpsilon);
  const Module mlp = layer["mlp"];
  h = mlp.Linear("linear_fc1", h, sizes.mlp_hidden, /*bias=*/true);
  h = g.Activation(mlp.Name("act"), h, sizes.activation);
  return g.Add(layer.Name("mlp_residual"), x,
               mlp.Linear("linear_fc2", h, sizes.hidden, /*bias=*/true));
}

// These files call layers, heads and channels otherwise than ReadVisionSizes does.
Result<EncoderSizes> ReadSizes(const JsonValue& vision) {
  EncoderSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.hidden, vision.GetIntIn("hidden_size", 1, kMaxWidth, 1152));
  GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden,
                         vision.GetIntIn("intermediate_size", 1, kMaxWidth, 4304));
  GRAFT_ASSIGN_OR_RETURN(sizes.layers, vision.GetIntIn("depth", 1, kMaxLayers, 27));
  AttentionShape& attention = sizes.attention;
  GRAFT_ASSIGN_OR_RETURN(attention.heads, vision.GetIntIn("num_heads", 1, kMaxHeads, 16));
  attention.kv_heads = attention.heads;
  attention.head_dim = sizes.hidden / attention.heads;
  if (attention.head_dim * attention.heads != sizes.hidden || attention.head_dim % 4 != 0) {
    return vision.Find("num_heads")
        .Fail("is " + std::to_string(attention.heads) + "; the width of " +
                  std::to_string(sizes.hidden) + " has no such heads of a multiple of 4",
              StatusCode::kUnsupported);
  }
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  GRAFT_ASSIGN_OR_RETURN(const std::string name,
                         vision.GetString("hidden_act", "gelu_pytorch_tanh"));
  GRAFT_ASSIGN_OR_RETURN(sizes.activation, ActivationFromName(name));
  return sizes;
}

// A kernel of several frames is a matrix as it lies.
ValueId ProjectFrames(const Module& tower, int64_t width, const PicturesDescription& pictures) {
  GraphBuilder& g = tower.graph();
  const std::string path = tower.Name("patch_embed.proj");
  const int64_t channels = pictures.image.channels;
  const int64_t numbers = channels * pictures.frames * pictures.patch * pictures.patch;
  const ValueId patches = g.ImagePatches("pixel_values", numbers);
  const TensorId weight =
      g.Kernels(path + ".weight", TensorPart{.source = path + ".weight", .source_rows = width},
                {width, channels, pictures.frames, pictures.patch, pictures.patch}, width, numbers);
  return g.Linear(path, patches, weight, g.Vector(path + ".bias", width));
}

}  // namespace

Result<ValueId> LowerQwen35Images(const JsonValue& config, GraphBuilder& g,
                                  PicturesDescription* pictures) {
  const JsonValue vision = config.Find("vision_config");
  Tower tower;
  GRAFT_ASSIGN_OR_RETURN(tower.sizes, ReadSizes(vision));
  GRAFT_ASSIGN_OR_RETURN(pictures->image.channels, vision.GetIntIn("in_channels", 1, 3, 3));
  GRAFT_ASSIGN_OR_RETURN(pictures->patch, vision.GetIntIn("patch_size", 1, 1024, 16));
  GRAFT_ASSIGN_OR_RETURN(pictures->frames,
                         vision.GetIntIn("temporal_patch_size", 1, kMaxFrames, 2));
  GRAFT_ASSIGN_OR_RETURN(pictures->merge, vision.GetIntIn("spatial_merge_size", 1, kMaxMerge, 2));
  GRAFT_ASSIGN_OR_RETURN(pictures->token,
                         config.GetIntIn("image_token_id", 0, kMaxContext, 248056));
  pictures->processor = PicturesDescription::Processor::kQwen2Vl;
  GRAFT_ASSIGN_OR_RETURN(const int64_t stored,
                         vision.GetIntIn("num_position_embeddings", 1, kMaxPositions, 2304));
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(stored))));
  if (side * side != stored) {
    return vision.Find("num_position_embeddings").Fail("is no square", StatusCode::kUnsupported);
  }
  const JsonValue deep = vision.Find("deepstack_visual_indexes");
  if (deep.IsArray() && deep.size() > 0) {
    return deep.Fail("hands rows of several layers to the text, which is not computed",
                     StatusCode::kUnsupported);
  }
  const Module model(g, "vision_tower");
  const int64_t hidden = tower.sizes.hidden;
  ValueId x = ProjectFrames(model, hidden, *pictures);
  tower.places = g.ImagePositions();
  tower.rope = RopeByPlaces(g, tower.sizes.attention.head_dim);
  const std::string positions = model.Name("pos_embed");
  const TensorId table = g.Table(positions + ".weight", stored, hidden);
  x = g.Add(model.Name("embedded"), x,
            g.GridPositions(positions, tower.places, table, side, /*corners=*/true));
  for (int64_t i = 0; i < tower.sizes.layers; ++i) x = Layer(tower, model["blocks"][i], x);

  const Module merger(g, "projector");
  const int64_t merged = pictures->merge * pictures->merge;
  x = merger.LayerNorm("norm", x, kEpsilon);
  x = g.MergePatches(merger.Name("merged"), x, merged);
  x = merger.Linear("linear_fc1", x, hidden * merged, /*bias=*/true);
  x = g.Activation(merger.Name("act"), x, schema::fb::ActivationKind::Gelu);
  return merger.Linear("linear_fc2", x, g.RowsOf(merger.Name("linear_fc2.weight")), true);
}

}  // namespace graft::converter
