// SPDX-License-Identifier: Apache-2.0
// The image towers of CLIP and SigLIP.
// Source   Radford et al. 2021; Zhai et al. 2023.
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

constexpr VisionLayerNames kLayer = {.attention_norm = "layer_norm1",
                                     .query = "self_attn.q_proj",
                                     .key = "self_attn.k_proj",
                                     .value = "self_attn.v_proj",
                                     .attention_output = "self_attn.out_proj",
                                     .mlp_norm = "layer_norm2",
                                     .mlp_up = "mlp.fc1",
                                     .mlp_down = "mlp.fc2"};

// One row that looks at all others, through weights as PyTorch's MultiheadAttention keeps them.
ValueId AttentionPooling(const VisionEncoder& e, const Module& head, ValueId hidden,
                         const std::string& output) {
  GraphBuilder& g = head.graph();
  const int64_t width = e.sizes.hidden;
  const ValueId probe = StoredRows(g, head.Name("probe"), {1, 1, width});
  const Module attention = head["attention"];
  const auto project = [&](const char* name, ValueId x, int64_t begin) {
    const auto part = [&](const char* tensor) {
      TensorPart rows{.source = attention.Name(tensor), .source_rows = 3 * width};
      rows.rows.begin = begin;
      return rows;
    };
    const std::string path = attention.Name(name);
    const TensorId weight = g.Matrix(path + ".weight", part("in_proj_weight"), width, width);
    return g.Linear(path, x, weight, g.Vector(path + ".bias", part("in_proj_bias"), width));
  };
  const ValueId query = project("query", probe, 0);
  const ValueId key = project("key", hidden, width);
  const ValueId value = project("value", hidden, 2 * width);
  ValueId x = g.Attention(attention.path(), query, key, value, ValueId{}, e.sizes.attention);
  x = attention.Linear("out_proj", x, width, /*bias=*/true);
  ValueId h = EncoderNorm(head, "layernorm", x, e.sizes.epsilon);
  h = head.Linear("mlp.fc1", h, e.sizes.mlp_hidden, /*bias=*/true);
  h = g.Activation(head.Name("mlp.act"), h, e.sizes.activation);
  h = head.Linear("mlp.fc2", h, width, /*bias=*/true);
  return g.Add(output, x, h);
}

struct Tower {
  VisionEncoder encoder;
  PatchShape patches;
};

Result<Tower> ReadTower(const JsonValue& config, const VisionDefaults& defaults, int64_t patch,
                        TaskDescription* task) {
  Tower tower;
  GRAFT_ASSIGN_OR_RETURN(tower.encoder.sizes, ReadVisionSizes(config, defaults));
  tower.encoder.names = kLayer;
  // Their learned positions hold for images of this size alone.
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadSides(config, "image_size", 224));
  GRAFT_ASSIGN_OR_RETURN(tower.patches, ReadPatchShape(config, size, patch));
  DescribeImage(tower.patches.channels, size, task);
  return tower;
}

ValueId Positions(const Module& embeddings, int64_t rows, int64_t width) {
  return StoredRows(embeddings.graph(), embeddings.Name("position_embedding.weight"),
                    {rows, width});
}

}  // namespace

Status LowerSiglipVision(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  task->architecture = "siglip_vision_model";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(
      const Tower tower,
      ReadTower(config, {.epsilon = 1e-6, .activation = "gelu_pytorch_tanh"}, 16, task));
  const VisionEncoder& e = tower.encoder;
  GRAFT_ASSIGN_OR_RETURN(const bool pools, config.GetBool("vision_use_head", true));
  const Module model(g, FamilyPath(g, "vision_model", "embeddings.patch_embedding.weight"));
  ValueId x = PatchRows(model["embeddings"], "patch_embedding", tower.patches, e.sizes.hidden);
  x = g.Add("with_positions", x,
            Positions(model["embeddings"], tower.patches.patches(), e.sizes.hidden));
  for (int64_t i = 0; i < e.sizes.layers; ++i) x = VisionLayer(e, model["encoder.layers"][i], x);
  x = EncoderNorm(model, "post_layernorm", x, e.sizes.epsilon, "last_hidden_state");
  if (g.Has("classifier.weight")) {
    const ValueId mean = g.PoolRows("patch_mean", x, ValueId{}, PoolKind::Mean);
    return ClassifyImage(config, mean, g, task).status();
  }
  task->task = pools ? Task::kEmbedding : Task::kTensors;
  if (pools) g.Output(AttentionPooling(e, model["head"], x, "pooler_output"));
  g.Output(x);
  return OkStatus();
}

Status LowerClipVision(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  task->architecture = "clip_vision_model";
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config, {"ModelWithProjection"}));
  GRAFT_ASSIGN_OR_RETURN(
      const Tower tower,
      ReadTower(config, {.epsilon = 1e-5, .activation = "quick_gelu"}, 32, task));
  const VisionEncoder& e = tower.encoder;
  const int64_t width = e.sizes.hidden;
  const Module model(g, FamilyPath(g, "vision_model", "embeddings.patch_embedding.weight"));
  const Module embeddings = model["embeddings"];
  ValueId x = PatchRows(embeddings, "patch_embedding", tower.patches, width, /*bias=*/false);
  const ValueId of_class = StoredRows(g, embeddings.Name("class_embedding"), {width});
  x = g.ConcatenateRows("rows", {of_class, x});
  x = g.Add("with_positions", x, Positions(embeddings, 1 + tower.patches.patches(), width));
  x = EncoderNorm(model, "pre_layrnorm", x, e.sizes.epsilon);
  for (int64_t i = 0; i < e.sizes.layers; ++i) {
    x = VisionLayer(e, model["encoder.layers"][i], x, {},
                    i + 1 == e.sizes.layers ? "last_hidden_state" : "");
  }
  if (g.Has("classifier.weight")) {
    const ValueId patches = RowsFrom(g, "patch_rows", x, 1, 1 + tower.patches.patches());
    const ValueId mean = g.PoolRows("patch_mean", patches, ValueId{}, PoolKind::Mean);
    return ClassifyImage(config, mean, g, task).status();
  }
  const bool projects = g.Has("visual_projection.weight");
  ValueId pooled = g.PoolRows("class_row", x, ValueId{}, PoolKind::Row, 0);
  pooled = EncoderNorm(model, "post_layernorm", pooled, e.sizes.epsilon,
                       projects ? "pooled" : "pooler_output");
  task->task = Task::kEmbedding;
  if (projects) {
    const int64_t features = g.RowsOf("visual_projection.weight");
    pooled =
        g.Linear("image_embeds", pooled, g.Matrix("visual_projection.weight", features, width));
  }
  g.Output(pooled);
  g.Output(x);
  return OkStatus();
}

}  // namespace graft::converter
