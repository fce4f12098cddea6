// SPDX-License-Identifier: Apache-2.0
// SigLIP's image tower, and what Gemma 3, SmolVLM and LFM2-VL make of its rows.
// Source   Zhai et al. 2023; Gemma Team 2025; Marafioti et al. 2025; Tschannen et al. 2025 (SigLIP 2).
#include <cmath>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/pictures/vision_part.h"
#include "converter/lower/architectures/vision/vision_encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr VisionLayerNames kLayer = {.attention_norm = "layer_norm1",
                                     .query = "self_attn.q_proj",
                                     .key = "self_attn.k_proj",
                                     .value = "self_attn.v_proj",
                                     .attention_output = "self_attn.out_proj",
                                     .mlp_norm = "layer_norm2",
                                     .mlp_up = "mlp.fc1",
                                     .mlp_down = "mlp.fc2"};
constexpr const char* kActivation = "gelu_pytorch_tanh";
constexpr int64_t kMaxMerge = 32;

// A row for each patch, of its embedding with its position.
ValueId LayerRows(const EncoderSizes& sizes, const Module& tower, ValueId x) {
  const VisionEncoder encoder = {.sizes = sizes, .names = kLayer};
  for (int64_t i = 0; i < sizes.layers; ++i)
    x = VisionLayer(encoder, tower["encoder.layers"][i], x);
  return EncoderNorm(tower, "post_layernorm", x, sizes.epsilon);
}

// The same of images of one size, whose positions are the tower's own.
ValueId TowerRows(const EncoderSizes& sizes, const Module& tower,
                  const PicturesDescription& pictures) {
  GraphBuilder& g = tower.graph();
  const Module embeddings = tower["embeddings"];
  const std::string positions = embeddings.Name("position_embedding");
  ValueId x = ProjectPatches(embeddings, "patch_embedding", sizes.hidden, /*bias=*/true, pictures);
  const TensorId table =
      g.Table(positions + ".weight", pictures.side * pictures.side, sizes.hidden);
  x = g.Add(embeddings.Name("embedded"), x, g.Embedding(positions, g.ImagePositions(), table));
  return LayerRows(sizes, tower, x);
}

// SigLIP 2 has patches as rows of a linear layer, whose numbers are in the order row, column, channel.
ValueId LinearPatches(const Module& embeddings, int64_t width,
                      const PicturesDescription& pictures) {
  GraphBuilder& g = embeddings.graph();
  const int64_t channels = pictures.image.channels;
  const int64_t pixels = pictures.patch * pictures.patch;
  const std::string path = embeddings.Name("patch_embedding");
  const ValueId patches = g.ImagePatches("pixel_values", channels * pixels);
  TensorPart part = {.source = path + ".weight", .source_rows = width};
  part.source_columns = channels * pixels;
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel)
      part.columns.push_back(pixel * channels + channel);
  }
  const TensorId weight = g.Matrix(path + ".weight", std::move(part), width, channels * pixels);
  return g.Linear(path, patches, weight, g.Vector(path + ".bias", width));
}

}  // namespace

Result<ValueId> LowerGemma3Images(const JsonValue& config, GraphBuilder& g,
                                  PicturesDescription* pictures) {
  const JsonValue vision = config.Find("vision_config");
  GRAFT_ASSIGN_OR_RETURN(const EncoderSizes sizes,
                         ReadVisionSizes(vision, {.epsilon = 1e-6, .activation = kActivation}));
  GRAFT_RETURN_IF_ERROR(ReadImageSides(vision, 224, 16, 1, pictures));
  GRAFT_ASSIGN_OR_RETURN(const int64_t tokens,
                         config.GetIntIn("mm_tokens_per_image", 1, int64_t{1} << 16, 256));
  const auto across = static_cast<int64_t>(std::sqrt(static_cast<double>(tokens)));
  pictures->merge = across == 0 ? 0 : pictures->side / across;
  if (pictures->merge < 1 || pictures->merge > kMaxMerge ||
      pictures->merge * across != pictures->side || across * across != tokens) {
    return config.Fail("mm_tokens_per_image does not divide the " + std::to_string(pictures->side) +
                           " patches of an image's side",
                       StatusCode::kUnsupported);
  }
  const char* key = config.Has("image_token_id") ? "image_token_id" : "image_token_index";
  GRAFT_ASSIGN_OR_RETURN(pictures->token, config.GetIntIn(key, 0, kMaxContext, 262144));
  pictures->processor = PicturesDescription::Processor::kGemma3;
  const Module projector(g, "projector");
  ValueId x = TowerRows(sizes, Module(g, "vision_tower"), *pictures);
  x = g.MergePatches(projector.Name("pooled"), x, pictures->merge * pictures->merge,
                     /*mean=*/true);
  x = projector.RmsNorm("mm_soft_emb_norm", x, sizes.epsilon, {.offset = 1.0});
  const std::string weight = projector.Name("mm_input_projection_weight");
  const int64_t width = g.RowElementsOf(weight);
  TensorPart part = {.source = weight, .source_rows = width, .transposed = true};
  return g.Linear("image_rows", x, g.Matrix(weight, part, width, sizes.hidden));
}

Result<ValueId> LowerSmolVlmImages(const JsonValue& config, GraphBuilder& g,
                                   PicturesDescription* pictures) {
  const JsonValue vision = config.Find("vision_config");
  GRAFT_ASSIGN_OR_RETURN(
      const EncoderSizes sizes,
      ReadVisionSizes(vision,
                      {.hidden = 1152, .heads = 16, .epsilon = 1e-6, .activation = kActivation}));
  GRAFT_ASSIGN_OR_RETURN(const int64_t merge, config.GetIntIn("scale_factor", 1, kMaxMerge, 2));
  GRAFT_RETURN_IF_ERROR(ReadImageSides(vision, 224, 32, merge, pictures));
  GRAFT_ASSIGN_OR_RETURN(pictures->token,
                         config.GetIntIn("image_token_id", 0, kMaxContext, 128257));
  pictures->processor = PicturesDescription::Processor::kIdefics3;
  ValueId x = TowerRows(sizes, Module(g, "vision_tower"), *pictures);
  const Module projector(g, "projector");
  x = g.MergePatches(projector.Name("merged"), x, merge * merge);
  const int64_t width = g.RowsOf(projector.Name("modality_projection.proj.weight"));
  return projector["modality_projection"].Linear("proj", x, width);
}

Result<ValueId> LowerLfm2VlImages(const JsonValue& config, GraphBuilder& g,
                                  PicturesDescription* pictures) {
  const JsonValue vision = config.Find("vision_config");
  GRAFT_ASSIGN_OR_RETURN(const EncoderSizes sizes,
                         ReadVisionSizes(vision, {.epsilon = 1e-6, .activation = kActivation}));
  GRAFT_ASSIGN_OR_RETURN(pictures->image.channels, vision.GetIntIn("num_channels", 1, 3, 3));
  GRAFT_ASSIGN_OR_RETURN(pictures->patch, vision.GetIntIn("patch_size", 1, 1024, 16));
  GRAFT_ASSIGN_OR_RETURN(pictures->merge, config.GetIntIn("downsample_factor", 1, kMaxMerge, 2));
  GRAFT_ASSIGN_OR_RETURN(pictures->token, config.GetIntIn("image_token_id", 0, kMaxContext, 396));
  pictures->processor = PicturesDescription::Processor::kLfm2Vl;
  GRAFT_ASSIGN_OR_RETURN(const int64_t stored,
                         vision.GetIntIn("num_patches", 1, int64_t{1} << 20, 256));
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(stored))));
  if (side * side != stored)
    return vision.Find("num_patches").Fail("is no square", StatusCode::kUnsupported);
  const Module tower(g, "vision_tower");
  const Module embeddings = tower["embeddings"];
  const std::string positions = embeddings.Name("position_embedding");
  ValueId x = LinearPatches(embeddings, sizes.hidden, *pictures);
  const TensorId table = g.Table(positions + ".weight", stored, sizes.hidden);
  x = g.Add(embeddings.Name("embedded"), x,
            g.GridPositions(positions, g.ImagePositions(), table, side));
  x = LayerRows(sizes, tower, x);

  const Module projector(g, "projector");
  x = g.MergePatches(projector.Name("merged"), x, pictures->merge * pictures->merge);
  GRAFT_ASSIGN_OR_RETURN(const bool norm, config.GetBool("projector_use_layernorm", true));
  if (norm) x = EncoderNorm(projector, "layer_norm", x, 1e-5f);
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("projector_bias", true));
  GRAFT_ASSIGN_OR_RETURN(const std::string name, config.GetString("projector_hidden_act", "gelu"));
  GRAFT_ASSIGN_OR_RETURN(const auto activation, ActivationFromName(name));
  x = projector.Linear("linear_1", x, g.RowsOf(projector.Name("linear_1.weight")), bias);
  x = g.Activation(projector.Name("act"), x, activation);
  return projector.Linear("linear_2", x, g.RowsOf(projector.Name("linear_2.weight")), bias);
}

}  // namespace graft::converter
