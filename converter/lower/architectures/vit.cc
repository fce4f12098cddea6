// SPDX-License-Identifier: Apache-2.0
// Vision transformers: an image cut into patches, each of them a row.
#include <algorithm>
#include <string>
#include <vector>

#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::PoolKind;

constexpr int64_t kMaxSide = 1 << 14;
constexpr int64_t kMaxChannels = 1 << 16;

constexpr EncoderLayerNames kVitLayer = {"attention.attention.query",
                                         "attention.attention.key",
                                         "attention.attention.value",
                                         "attention.output.dense",
                                         "layernorm_before",
                                         "intermediate.dense",
                                         "output.dense",
                                         "layernorm_after"};

// A side for both, or [height, width].
struct Sides {
  int64_t height = 0;
  int64_t width = 0;
};

Result<Sides> ReadSides(const JsonValue& config, const char* key, int64_t fallback) {
  const JsonValue member = config.Find(key);
  if (!member.IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t side, config.GetIntIn(key, 1, kMaxSide, fallback));
    return Sides{side, side};
  }
  if (member.size() != 2) return member.Fail("must be a number or a list of height and width");
  GRAFT_ASSIGN_OR_RETURN(const int64_t height, member.at(0).AsInt());
  GRAFT_ASSIGN_OR_RETURN(const int64_t width, member.at(1).AsInt());
  if (std::min(height, width) < 1 || std::max(height, width) > kMaxSide)
    return member.Fail("must be 1 to " + std::to_string(kMaxSide) + " a side");
  return Sides{height, width};
}

struct VitConfig {
  EncoderSizes sizes;
  std::string path;  // of the encoder's modules; empty: none
  WindowShape patch;
  bool qkv_bias = true;
  bool has_distillation_row = false;
};

Result<VitConfig> ReadConfig(const JsonValue& config, const std::string& family,
                             const GraphBuilder& graph) {
  VitConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadEncoderSizes(config));
  c.path = graph.Has(family + ".embeddings.cls_token") ? family : "";
  GRAFT_ASSIGN_OR_RETURN(c.qkv_bias, config.GetBool("qkv_bias", true));
  GRAFT_ASSIGN_OR_RETURN(const Sides image, ReadSides(config, "image_size", 224));
  GRAFT_ASSIGN_OR_RETURN(const Sides patch, ReadSides(config, "patch_size", 16));
  if (patch.height > image.height || patch.width > image.width)
    return config.Find("patch_size").Fail("is larger than image_size");
  WindowShape& window = c.patch;
  GRAFT_ASSIGN_OR_RETURN(window.channels, config.GetIntIn("num_channels", 1, kMaxChannels, 3));
  window.height = image.height;
  window.width = image.width;
  window.kernel_height = window.stride_height = patch.height;
  window.kernel_width = window.stride_width = patch.width;
  return c;
}

// The class's row, perhaps the teacher's, and a row for each patch, through the layers.
ValueId Encode(const VitConfig& c, GraphBuilder& g) {
  const int64_t width = c.sizes.hidden;
  const Module model(g, c.path);
  const Module embeddings = model["embeddings"];
  const ValueId image =
      g.ImageInput("pixel_values", c.patch.channels, c.patch.height, c.patch.width);
  const std::string projection = embeddings.Name("patch_embeddings.projection");
  const ValueId patches = g.Patches("patches", image, c.patch);
  const TensorId kernels = g.Kernels(projection + ".weight", width, c.patch);
  ValueId x = g.Linear(projection, patches, kernels, g.Vector(projection + ".bias", width));

  const auto stored = [&](const std::string& name, int64_t rows) {
    const TensorId tensor = g.Stored(embeddings.Name(name), {1, rows, width});
    return g.ConstantRows(embeddings.Name(name), tensor, rows, width);
  };
  std::vector<ValueId> parts = {stored("cls_token", 1)};
  if (c.has_distillation_row) parts.push_back(stored("distillation_token", 1));
  const int64_t rows =
      static_cast<int64_t>(parts.size()) + c.patch.out_height() * c.patch.out_width();
  parts.push_back(x);
  x = g.ConcatenateRows("rows", parts);
  x = g.Add("with_positions", x, stored("position_embeddings", rows));
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    x = PreNormLayer(c.sizes, kVitLayer, model["encoder.layer"][i], x, c.qkv_bias);
  }
  return EncoderNorm(model, "layernorm", x, c.sizes.epsilon, "last_hidden_state");
}

// Pictures have one channel or three; what other numbers of channels come from is the caller's.
void DescribeImage(const VitConfig& c, TaskDescription* task) {
  if (c.patch.channels != 1 && c.patch.channels != 3) return;
  ImagePreparation image;
  image.channels = c.patch.channels;
  image.height = c.patch.height;
  image.width = c.patch.width;
  task->image = image;
}

ValueId Scores(const std::string& classifier, const std::string& name, ValueId x, int64_t labels,
               int64_t width, GraphBuilder& g) {
  const TensorId weight = g.Matrix(classifier + ".weight", labels, width);
  return g.Linear(name, x, weight, g.Vector(classifier + ".bias", labels));
}

Status Describe(const VitConfig& c, const JsonValue& config, GraphBuilder& g,
                TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  DescribeImage(c, task);
  const ValueId hidden = Encode(c, g);
  const int64_t width = c.sizes.hidden;
  const auto row = [&](const char* name, int64_t index) {
    return g.PoolRows(name, hidden, ValueId{}, PoolKind::Row, index);
  };
  const bool with_teacher = c.has_distillation_row && g.Has("cls_classifier.weight");
  const std::string classifier = with_teacher ? "cls_classifier" : "classifier";
  const int64_t labels = g.RowsOf(classifier + ".weight");
  if (labels == 0) {
    task->task = Task::kEmbedding;
    g.Output(row("image_embedding", 0));
    g.Output(hidden);
    return OkStatus();
  }
  task->task = Task::kClassification;
  GRAFT_RETURN_IF_ERROR(DescribeLabels(config, labels, task));
  if (!with_teacher) {
    g.Output(Scores(classifier, "logits", row("class_row", 0), labels, width, g));
    return OkStatus();
  }
  const ValueId own = Scores(classifier, "class_logits", row("class_row", 0), labels, width, g);
  const ValueId taught = Scores("distillation_classifier", "distillation_logits",
                                row("distillation_row", 1), labels, width, g);
  g.Output(g.Scale("logits", g.Add("both_logits", own, taught), 0.5f));
  return OkStatus();
}

}  // namespace

// ViT.
// Source   Dosovitskiy et al. 2020.
Status LowerVit(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const VitConfig c, ReadConfig(config, "vit", graph));
  return Describe(c, config, graph, task);
}

// DeiT: a second row beside the class's, and with a teacher a head for each of the two, whose
// scores are averaged.
// Source   Touvron et al. 2020.
Status LowerDeit(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(VitConfig c, ReadConfig(config, "deit", graph));
  c.has_distillation_row = true;
  return Describe(c, config, graph, task);
}

}  // namespace graft::converter
