// SPDX-License-Identifier: Apache-2.0
// DINOv2, and with registers: rows of the model's own beside the class's.
// Source   Oquab et al. 2023; Darcet et al. 2023.
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/vision/image_model.h"
#include "converter/lower/architectures/vision/vision_encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::PoolKind;

constexpr VisionLayerNames kLayer = {.attention_norm = "norm1",
                                     .query = "attention.attention.query",
                                     .key = "attention.attention.key",
                                     .value = "attention.attention.value",
                                     .attention_output = "attention.output.dense",
                                     .mlp_norm = "norm2",
                                     .mlp_up = "mlp.fc1",
                                     .mlp_down = "mlp.fc2",
                                     .attention_scale = "layer_scale1.lambda1",
                                     .mlp_scale = "layer_scale2.lambda1"};

Result<VisionEncoder> ReadEncoder(const JsonValue& config) {
  VisionEncoder e;
  GRAFT_ASSIGN_OR_RETURN(e.sizes, ReadVisionSizes(config, {.epsilon = 1e-6}));
  GRAFT_ASSIGN_OR_RETURN(const double ratio, ReadPositive(config, "mlp_ratio", 4.0));
  if (ratio > 64.0) return config.Find("mlp_ratio").Fail("must be at most 64");
  e.sizes.mlp_hidden = static_cast<int64_t>(static_cast<double>(e.sizes.hidden) * ratio);
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("qkv_bias", true));
  e.query_bias = e.key_bias = e.value_bias = bias;
  e.names = kLayer;
  GRAFT_ASSIGN_OR_RETURN(const bool gated, config.GetBool("use_swiglu_ffn", false));
  if (!gated) return e;
  e.sizes.mlp_hidden =
      (static_cast<int64_t>(static_cast<double>(e.sizes.mlp_hidden * 2) / 3) + 7) / 8 * 8;
  e.sizes.activation = schema::fb::ActivationKind::Silu;
  e.mlp_gate_is_fused = true;
  e.names.mlp_up = "mlp.weights_in";
  e.names.mlp_down = "mlp.weights_out";
  return e;
}

// Scores of the class's row and of the patches' mean, side by side.
Status Classify(const JsonValue& config, ValueId hidden, int64_t first_patch, int64_t rows,
                GraphBuilder& g, TaskDescription* task) {
  const int64_t labels = g.RowsOf("classifier.weight");
  const int64_t width = g.Width(hidden);
  task->task = Task::kClassification;
  GRAFT_RETURN_IF_ERROR(DescribeLabels(config, labels, task));
  const ValueId of_class = g.PoolRows("class_row", hidden, ValueId{}, PoolKind::Row, 0);
  const ValueId patches = RowsFrom(g, "patch_rows", hidden, first_patch, rows);
  const ValueId mean = g.PoolRows("patch_mean", patches, ValueId{}, PoolKind::Mean);
  const auto half = [&](const std::string& name, int64_t begin) {
    TensorPart part{.source = "classifier.weight", .source_rows = labels};
    part.source_columns = 2 * width;
    for (int64_t i = 0; i < width; ++i) part.columns.push_back(begin + i);
    return g.Matrix(name, std::move(part), labels, width);
  };
  const TensorId bias = g.Vector("classifier.bias", labels);
  const ValueId a = g.Linear("class_logits", of_class, half("classifier.class.weight", 0), bias);
  const ValueId b = g.Linear("patch_logits", mean, half("classifier.patches.weight", width));
  g.Output(g.Add("logits", a, b));
  return OkStatus();
}

Status Lower(const JsonValue& config, const std::string& family, int64_t registers, GraphBuilder& g,
             TaskDescription* task) {
  task->architecture = family;
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(const VisionEncoder e, ReadEncoder(config));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(config, *task, 224));
  GRAFT_ASSIGN_OR_RETURN(const ImageSize trained, ReadSides(config, "image_size", 224));
  GRAFT_ASSIGN_OR_RETURN(const PatchShape patches, ReadPatchShape(config, size, 14));
  DescribeImage(patches.channels, size, task);
  const Module model(g, FamilyPath(g, family, "embeddings.cls_token"));
  const Module embeddings = model["embeddings"];
  const int64_t width = e.sizes.hidden;
  ValueId x = PatchRows(embeddings, "patch_embeddings.projection", patches, width);
  x = g.ConcatenateRows("rows", {StoredRows(g, embeddings.Name("cls_token"), {1, 1, width}), x});
  PatchShape stored = patches;
  stored.image = trained;
  GRAFT_ASSIGN_OR_RETURN(
      const ValueId positions,
      PositionsOf(g, embeddings.Name("position_embeddings"), 1, 1 + stored.patches(), width,
                  patches.grid(), /*antialias=*/registers > 0));
  x = g.Add("with_positions", x, positions);
  const int64_t rows = 1 + registers + patches.patches();
  if (registers > 0) {
    x = g.ConcatenateRows("with_registers",
                          {RowsFrom(g, "class_at_first", x, 0, 1),
                           StoredRows(g, embeddings.Name("register_tokens"), {1, registers, width}),
                           RowsFrom(g, "patches_at_first", x, 1, 1 + patches.patches())});
  }
  for (int64_t i = 0; i < e.sizes.layers; ++i) x = VisionLayer(e, model["encoder.layer"][i], x);
  x = EncoderNorm(model, "layernorm", x, e.sizes.epsilon, "last_hidden_state");
  if (g.Has("classifier.weight")) return Classify(config, x, 1 + registers, rows, g, task);
  task->task = Task::kEmbedding;
  g.Output(g.PoolRows("pooler_output", x, ValueId{}, PoolKind::Row, 0));
  g.Output(x);
  return OkStatus();
}

}  // namespace

Status LowerDinoV2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return Lower(config, "dinov2", 0, graph, task);
}

Status LowerDinoV2WithRegisters(const JsonValue& config, GraphBuilder& graph,
                                TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t registers,
                         config.GetIntIn("num_register_tokens", 1, 4096, 4));
  return Lower(config, "dinov2_with_registers", registers, graph, task);
}

}  // namespace graft::converter
