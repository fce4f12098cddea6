// SPDX-License-Identifier: Apache-2.0
// DINOv3: queries and keys of patches rotated by their place in the image, and registers.
// Source   Siméoni et al. 2025.
#include <cmath>
#include <string>
#include <vector>

#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/architectures/vision/vision_encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::PoolKind;

constexpr VisionLayerNames kLayer = {.attention_norm = "norm1",
                                     .query = "attention.q_proj",
                                     .key = "attention.k_proj",
                                     .value = "attention.v_proj",
                                     .attention_output = "attention.o_proj",
                                     .mlp_norm = "norm2",
                                     .mlp_up = "mlp.up_proj",
                                     .mlp_down = "mlp.down_proj",
                                     .attention_scale = "layer_scale1.lambda1",
                                     .mlp_scale = "layer_scale2.lambda1"};

Result<VisionEncoder> ReadEncoder(const JsonValue& config) {
  VisionEncoder e;
  GRAFT_ASSIGN_OR_RETURN(
      e.sizes,
      ReadVisionSizes(config, {.hidden = 384, .mlp_hidden = 1536, .heads = 6, .epsilon = 1e-5}));
  GRAFT_ASSIGN_OR_RETURN(e.query_bias, config.GetBool("query_bias", true));
  GRAFT_ASSIGN_OR_RETURN(e.key_bias, config.GetBool("key_bias", false));
  GRAFT_ASSIGN_OR_RETURN(e.value_bias, config.GetBool("value_bias", true));
  GRAFT_ASSIGN_OR_RETURN(e.output_bias, config.GetBool("proj_bias", true));
  GRAFT_ASSIGN_OR_RETURN(e.mlp_bias, config.GetBool("mlp_bias", true));
  e.names = kLayer;
  GRAFT_ASSIGN_OR_RETURN(const bool gated, config.GetBool("use_gated_mlp", false));
  if (gated) e.names.mlp_gate = "mlp.gate_proj";
  if (e.sizes.attention.head_dim % 4 != 0) {
    return config.Find("num_attention_heads")
        .Fail("makes heads of " + std::to_string(e.sizes.attention.head_dim) +
              ", of which a half cannot be divided between height and width");
  }
  return e;
}

// Half of a head's angles are of the row, half of the column: 2 pi times the place in [-1, 1] of
// the patch's middle, at falling frequencies. In f32, as they are computed. Rows before the
// patches' stay as they are.
TensorId Angles(const ImageSize& grid, int64_t prefix, int64_t head_dim, double theta,
                GraphBuilder& g) {
  const int64_t quarter = head_dim / 4;
  std::vector<float> frequencies;
  for (int64_t i = 0; i < quarter; ++i) {
    const float exponent = static_cast<float>(i) * 4.0f / static_cast<float>(head_dim);
    frequencies.push_back(1.0f / std::pow(static_cast<float>(theta), exponent));
  }
  const auto place = [](int64_t i, int64_t count) {
    return 2.0f * ((static_cast<float>(i) + 0.5f) / static_cast<float>(count)) - 1.0f;
  };
  std::vector<float> angles(static_cast<size_t>(prefix * 2 * quarter), 0.0f);
  constexpr auto kTurn = static_cast<float>(2.0 * 3.14159265358979323846);
  for (int64_t i = 0; i < grid.pixels(); ++i) {
    for (const float at : {place(i / grid.width, grid.height), place(i % grid.width, grid.width)}) {
      for (const float frequency : frequencies) angles.push_back(kTurn * at * frequency);
    }
  }
  return g.LiteralMatrix("patch_angles", std::move(angles), 2 * quarter);
}

}  // namespace

Status LowerDinoV3(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  task->architecture = "dinov3_vit";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(VisionEncoder e, ReadEncoder(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t registers,
                         config.GetIntIn("num_register_tokens", 0, 4096, 0));
  GRAFT_ASSIGN_OR_RETURN(const double theta, ReadPositive(config, "rope_theta", 100.0));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(config, *task, 224));
  GRAFT_ASSIGN_OR_RETURN(const PatchShape patches, ReadPatchShape(config, size, 16));
  DescribeImage(patches.channels, size, task);
  const Module model(g, FamilyPath(g, "dinov3_vit", "embeddings.cls_token"));
  const Module embeddings = model["embeddings"];
  const int64_t width = e.sizes.hidden;
  const ValueId of_patches = PatchRows(embeddings, "patch_embeddings", patches, width);
  std::vector<ValueId> parts = {StoredRows(g, embeddings.Name("cls_token"), {1, 1, width})};
  if (registers > 0) {
    parts.push_back(StoredRows(g, embeddings.Name("register_tokens"), {1, registers, width}));
  }
  parts.push_back(of_patches);
  ValueId x = g.ConcatenateRows("rows", parts);
  e.angles = Angles(patches.grid(), 1 + registers, e.sizes.attention.head_dim, theta, g);
  // Newer checkpoints have the layers below "model".
  const Module layers =
      g.Has(model.Name("model.layer.0.norm1.weight")) ? model["model.layer"] : model["layer"];
  for (int64_t i = 0; i < e.sizes.layers; ++i) x = VisionLayer(e, layers[i], x);
  x = EncoderNorm(model, "norm", x, e.sizes.epsilon, "last_hidden_state");
  const bool classifies = g.Has("classifier.weight");
  const ValueId pooled =
      g.PoolRows(classifies ? "class_row" : "pooler_output", x, ValueId{}, PoolKind::Row, 0);
  if (classifies) return ClassifyImage(config, pooled, g, task).status();
  task->task = Task::kEmbedding;
  g.Output(pooled);
  g.Output(x);
  return OkStatus();
}

}  // namespace graft::converter
