// SPDX-License-Identifier: Apache-2.0
// Pixtral's image tower, and what Mistral 3 makes of its rows.
// Source   Agrawal et al. 2024.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/pictures/vision_part.h"
#include "converter/lower/architectures/vision/vision_encoder.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kEpsilon = 1e-5f;
constexpr int64_t kMaxAngles = int64_t{1} << 24;

struct Tower {
  EncoderSizes sizes;
  RopeShape rope;
  ValueId places;
};

// Of the places row * side + column: every other frequency turns by the row, the others by the
// column. Rounded as transformers rounds them.
TensorId AngleTable(GraphBuilder& g, int64_t side, int64_t head_dim, double base) {
  const int64_t half = head_dim / 2;
  std::vector<float> frequencies;
  for (int64_t i = 0; i < half; ++i) {
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies.push_back(static_cast<float>(1.0 / std::pow(base, static_cast<double>(exponent))));
  }
  std::vector<float> rows;
  rows.reserve(static_cast<size_t>(side * side * head_dim));
  for (int64_t place = 0; place < side * side; ++place) {
    const int64_t row = place / side;
    const int64_t column = place % side;
    std::vector<float> angles;
    for (int64_t i = 0; i < half; i += 2)
      angles.push_back(static_cast<float>(row) * frequencies[static_cast<size_t>(i)]);
    for (int64_t i = 1; i < half; i += 2)
      angles.push_back(static_cast<float>(column) * frequencies[static_cast<size_t>(i)]);
    for (const float angle : angles)
      rows.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
    for (const float angle : angles)
      rows.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
  }
  return g.LiteralMatrix("vision_tower.angles", std::move(rows), head_dim);
}

ValueId Layer(const Tower& tower, const Module& layer, ValueId x) {
  GraphBuilder& g = layer.graph();
  const EncoderSizes& sizes = tower.sizes;
  const Module attention = layer["attention"];
  ValueId h = layer.RmsNorm("attention_norm", x, kEpsilon);
  ValueId query = attention.Linear("q_proj", h, sizes.hidden);
  ValueId key = attention.Linear("k_proj", h, sizes.hidden);
  const ValueId value = attention.Linear("v_proj", h, sizes.hidden);
  query = g.Rope(attention.Name("q_rotated"), query, tower.places, tower.rope);
  key = g.Rope(attention.Name("k_rotated"), key, tower.places, tower.rope);
  h = g.Attention(attention.path(), query, key, value, ValueId{}, sizes.attention);
  x = g.Add(layer.Name("attention_residual"), x, attention.Linear("o_proj", h, sizes.hidden));
  h = layer.RmsNorm("ffn_norm", x, kEpsilon);
  const Module mlp = layer["feed_forward"];
  const ValueId gate = mlp.Linear("gate_proj", h, sizes.mlp_hidden);
  h = g.GatedActivation(mlp.Name("act"), gate, mlp.Linear("up_proj", h, sizes.mlp_hidden),
                        sizes.activation);
  return g.Add(layer.Name("mlp_residual"), x, mlp.Linear("down_proj", h, sizes.hidden));
}

// How many layers run: the features are those after one of them.
Result<int64_t> ReadFeatureLayer(const JsonValue& config, int64_t layers) {
  const JsonValue member = config.Find("vision_feature_layer");
  if (config.Has("vision_feature_layer") && member.IsArray()) {
    return member.Fail("lists layers; this version takes the features of one",
                       StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t layer,
                         config.GetIntIn("vision_feature_layer", -layers - 1, layers, -1));
  return layer < 0 ? layers + 1 + layer : layer;
}

// A row of merged patches has, of each feature in turn, those of all patches.
TensorId MergedWeight(const Module& merger, int64_t width, int64_t count) {
  const std::string name = merger.Name("merging_layer.weight");
  TensorPart part = {.source = name, .source_rows = width, .source_columns = width * count};
  // Of another width it is refused below, before its columns are counted out.
  const bool fits = merger.graph().RowElementsOf(name) == width * count;
  for (int64_t patch = 0; fits && patch < count; ++patch) {
    for (int64_t feature = 0; feature < width; ++feature)
      part.columns.push_back(feature * count + patch);
  }
  return merger.graph().Matrix(name, std::move(part), width, width * count);
}

}  // namespace

Result<ValueId> LowerMistral3Images(const JsonValue& config, GraphBuilder& g,
                                    PicturesDescription* pictures) {
  const JsonValue vision = config.Find("vision_config");
  Tower tower;
  EncoderSizes& sizes = tower.sizes;
  GRAFT_ASSIGN_OR_RETURN(
      sizes,
      ReadVisionSizes(
          vision,
          {.hidden = 1024, .mlp_hidden = 4096, .layers = 24, .heads = 16, .activation = "gelu"}));
  const int64_t head_dim = sizes.attention.head_dim;
  if (head_dim % 4 != 0) {
    return vision.Fail("has heads of " + std::to_string(head_dim) + ", not a multiple of 4",
                       StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t merge, config.GetIntIn("spatial_merge_size", 1, 32, 2));
  GRAFT_RETURN_IF_ERROR(ReadImageSides(vision, 1540, 14, merge, pictures));
  if (pictures->side * pictures->side * head_dim > kMaxAngles) {
    return vision.Find("image_size")
        .Fail("makes " + std::to_string(pictures->side) +
                  " patches a side; angles of so many are "
                  "not computed",
              StatusCode::kUnsupported);
  }
  const char* key = config.Has("image_token_id") ? "image_token_id" : "image_token_index";
  GRAFT_ASSIGN_OR_RETURN(pictures->token, config.GetIntIn(key, 0, kMaxContext, 10));
  pictures->processor = PicturesDescription::Processor::kPixtral;
  pictures->layout = PicturesDescription::Layout::kGrid;
  const JsonValue rope = vision.Find("rope_parameters");
  GRAFT_ASSIGN_OR_RETURN(const double base,
                         ReadPositive(rope.IsObject() ? rope : vision, "rope_theta", 10000.0));
  const Module model(g, "vision_tower");
  ValueId x = ProjectPatches(model, "patch_conv", sizes.hidden, /*bias=*/false, *pictures);
  x = model.RmsNorm("ln_pre", x, kEpsilon);
  tower.places = g.ImagePositions();
  tower.rope.head_dim = tower.rope.rotary_dim = head_dim;
  tower.rope.table = AngleTable(g, pictures->side, head_dim, base);
  GRAFT_ASSIGN_OR_RETURN(const int64_t layers, ReadFeatureLayer(config, sizes.layers));
  for (int64_t i = 0; i < layers; ++i) x = Layer(tower, model["transformer.layers"][i], x);

  const Module projector(g, "projector");
  const JsonValue text = config.Find("text_config");
  GRAFT_ASSIGN_OR_RETURN(const float epsilon, ReadEpsilon(text, "rms_norm_eps", 1e-6));
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("multimodal_projector_bias", false));
  GRAFT_ASSIGN_OR_RETURN(const std::string name, config.GetString("projector_hidden_act", "gelu"));
  GRAFT_ASSIGN_OR_RETURN(const auto activation, ActivationFromName(name));
  x = projector.RmsNorm("norm", x, epsilon);
  x = g.MergePatches(projector.Name("merged"), x, merge * merge);
  x = g.Linear(projector.Name("patch_merger.merging_layer"), x,
               MergedWeight(projector["patch_merger"], sizes.hidden, merge * merge));
  const int64_t width = g.RowsOf(projector.Name("linear_1.weight"));
  x = projector.Linear("linear_1", x, width, bias);
  x = g.Activation(projector.Name("act"), x, activation);
  return projector.Linear("linear_2", x, width, bias);
}

}  // namespace graft::converter
