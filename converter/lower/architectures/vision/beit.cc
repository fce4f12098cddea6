// SPDX-License-Identifier: Apache-2.0
// BEiT, and the image tower of Data2Vec: attention that knows how far patches are apart.
// Source   Bao et al. 2021; Baevski et al. 2022.
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

constexpr VisionLayerNames kLayer = {.attention_norm = "layernorm_before",
                                     .query = "attention.attention.query",
                                     .key = "attention.attention.key",
                                     .value = "attention.attention.value",
                                     .attention_output = "attention.output.dense",
                                     .mlp_norm = "layernorm_after",
                                     .mlp_up = "intermediate.dense",
                                     .mlp_down = "output.dense"};

struct BeitConfig {
  VisionEncoder encoder;
  PatchShape patches;
  bool has_positions = false;
  bool has_bias = false, has_shared_bias = false;
  bool pools_mean = true;
};

Result<BeitConfig> ReadConfig(const JsonValue& config) {
  BeitConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.encoder.sizes, ReadVisionSizes(config, {.epsilon = 1e-12}));
  c.encoder.names = kLayer;
  c.encoder.key_bias = false;
  GRAFT_ASSIGN_OR_RETURN(const double scale, config.GetDouble("layer_scale_init_value", 0.1));
  if (scale > 0) {
    c.encoder.names.attention_scale = "lambda_1";
    c.encoder.names.mlp_scale = "lambda_2";
  }
  GRAFT_ASSIGN_OR_RETURN(const ImageSize size, ReadSides(config, "image_size", 224));
  GRAFT_ASSIGN_OR_RETURN(c.patches, ReadPatchShape(config, size, 16));
  GRAFT_ASSIGN_OR_RETURN(c.has_positions,
                         config.GetBool("use_absolute_position_embeddings", false));
  GRAFT_ASSIGN_OR_RETURN(c.has_bias, config.GetBool("use_relative_position_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.has_shared_bias,
                         config.GetBool("use_shared_relative_position_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.pools_mean, config.GetBool("use_mean_pooling", true));
  return c;
}

// Of each head, for each pair of rows: by how many patches they are apart, down and across; the
// last three numbers of a head are for pairs with the class's row. Each is the sum of what `tables`
// have, which may be one.
TensorId PairBias(const BeitConfig& c, const std::string& name,
                  const std::vector<std::string>& tables, GraphBuilder& g) {
  const ImageSize grid = c.patches.grid();
  const int64_t heads = c.encoder.sizes.attention.heads;
  const int64_t across = 2 * grid.width - 1;
  const int64_t distances = (2 * grid.height - 1) * across + 3;
  std::vector<double> table(static_cast<size_t>(distances * heads), 0.0);
  for (const std::string& of : tables) {
    const std::vector<double> numbers = g.NumbersOfRows(of, 2, distances, heads);
    for (size_t i = 0; i < table.size(); ++i) table[i] += numbers[i];
  }
  const int64_t rows = 1 + grid.pixels();
  std::vector<float> bias;
  bias.reserve(static_cast<size_t>(heads * rows * rows));
  const auto distance = [&](int64_t i, int64_t j) {
    if (i == 0 && j == 0) return distances - 1;
    if (i == 0) return distances - 3;
    if (j == 0) return distances - 2;
    const int64_t down = (i - 1) / grid.width - (j - 1) / grid.width + grid.height - 1;
    return down * across + (i - 1) % grid.width - (j - 1) % grid.width + grid.width - 1;
  };
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < rows; ++j)
        bias.push_back(
            static_cast<float>(table[static_cast<size_t>(distance(i, j) * heads + head)]));
    }
  }
  return g.Literal(name, std::move(bias));
}

ValueId Encode(const BeitConfig& c, const Module& model, ValueId x) {
  GraphBuilder& g = model.graph();
  const std::string table = "relative_position_bias.relative_position_bias_table";
  const std::string shared = model["encoder"].Name(table);
  TensorId shared_bias;
  for (int64_t i = 0; i < c.encoder.sizes.layers; ++i) {
    const Module layer = model["encoder.layer"][i];
    TensorId bias;
    if (c.has_bias) {
      std::vector<std::string> tables = {layer["attention.attention"].Name(table)};
      if (c.has_shared_bias) tables.push_back(shared);
      bias = PairBias(c, layer.Name("pair_bias"), tables, g);
    } else if (c.has_shared_bias) {
      if (i == 0) shared_bias = PairBias(c, model.Name("pair_bias"), {shared}, g);
      bias = shared_bias;
    }
    const bool is_last = i + 1 == c.encoder.sizes.layers && c.pools_mean;
    x = VisionLayer(c.encoder, layer, x, bias, is_last ? "last_hidden_state" : "");
  }
  return x;
}

Status Lower(const JsonValue& config, const std::string& family, GraphBuilder& g,
             TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(CheckImageHead(config));
  GRAFT_ASSIGN_OR_RETURN(const BeitConfig c, ReadConfig(config));
  DescribeImage(c.patches.channels, c.patches.image, task);
  const Module model(g, FamilyPath(g, family, "embeddings.cls_token"));
  const Module embeddings = model["embeddings"];
  const int64_t width = c.encoder.sizes.hidden;
  const int64_t rows = 1 + c.patches.patches();
  constexpr int64_t kMostRows = 4096;  // pairs of them have numbers of their own
  if (rows > kMostRows && (c.has_bias || c.has_shared_bias))
    return config.Find("patch_size").Fail("makes more than 4095 patches");
  ValueId x = PatchRows(embeddings, "patch_embeddings.projection", c.patches, width);
  x = g.ConcatenateRows("rows", {StoredRows(g, embeddings.Name("cls_token"), {1, 1, width}), x});
  if (c.has_positions) {
    x = g.Add("with_positions", x,
              StoredRows(g, embeddings.Name("position_embeddings"), {1, rows, width}));
  }
  x = Encode(c, model, x);
  const bool classifies = g.Has("classifier.weight");
  const std::string name = classifies ? "pooled" : "pooler_output";
  if (c.pools_mean && !classifies && !g.Has(model.Name("pooler.layernorm.weight"))) {
    task->task = Task::kTensors;
    g.Output(x);
    return OkStatus();
  }
  ValueId pooled;
  if (c.pools_mean) {
    const ValueId patches = RowsFrom(g, "patch_rows", x, 1, rows);
    pooled = g.PoolRows("patch_mean", patches, ValueId{}, PoolKind::Mean);
    pooled = EncoderNorm(model, "pooler.layernorm", pooled, c.encoder.sizes.epsilon, name);
  } else {
    x = EncoderNorm(model, "layernorm", x, c.encoder.sizes.epsilon, "last_hidden_state");
    pooled = g.PoolRows(name, x, ValueId{}, PoolKind::Row, 0);
  }
  if (classifies) return ClassifyImage(config, pooled, g, task).status();
  task->task = Task::kEmbedding;
  g.Output(pooled);
  g.Output(x);
  return OkStatus();
}

}  // namespace

Status LowerBeit(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  task->architecture = "beit";
  return Lower(config, "beit", graph, task);
}

Status LowerData2VecVision(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  task->architecture = "data2vec-vision";
  return Lower(config, "data2vec_vision", graph, task);
}

}  // namespace graft::converter
