// SPDX-License-Identifier: Apache-2.0
// ALBERT: all layers of a group are one, and embeddings are narrower than the layers.
#include <string>

#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr EncoderLayerNames kLayer = {"attention.query", "attention.key",        "attention.value",
                                      "attention.dense", "attention.LayerNorm",  "ffn",
                                      "ffn_output",      "full_layer_layer_norm"};

struct Groups {
  int64_t count = 1;
  int64_t layers = 1;  // of each
};

ValueId Encode(const EncoderSizes& sizes, const TextTables& tables, const Groups& groups,
               const Module& model) {
  GraphBuilder& g = model.graph();
  const Module embeddings = model["embeddings"];
  ValueId x = EmbedTokens(tables, embeddings);
  x = EncoderNorm(embeddings, "LayerNorm", x, sizes.epsilon);
  const Module encoder = model["encoder"];
  x = encoder.Linear("embedding_hidden_mapping_in", x, sizes.hidden, /*bias=*/true);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    // In f64, as the reference divides.
    const double each = static_cast<double>(sizes.layers) / static_cast<double>(groups.count);
    const auto group = static_cast<int64_t>(static_cast<double>(i) / each);
    const Module layers = encoder["albert_layer_groups"][group]["albert_layers"];
    for (int64_t k = 0; k < groups.layers; ++k) {
      const bool last = i + 1 == sizes.layers && k + 1 == groups.layers;
      x = PostNormLayer(sizes, kLayer, layers[k], x, g.text_ends(),
                        last ? "last_hidden_state" : "");
    }
  }
  return x;
}

}  // namespace

// Source   Lan et al. 2019.
Status LowerAlbert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const EncoderSizes sizes, ReadEncoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t width, config.GetIntIn("embedding_size", 1, kMaxWidth, 128));
  GRAFT_ASSIGN_OR_RETURN(const TextTables tables, ReadTextTables(config, width));
  GRAFT_RETURN_IF_ERROR(RefuseDecoders(config));
  Groups groups;
  GRAFT_ASSIGN_OR_RETURN(groups.count, config.GetIntIn("num_hidden_groups", 1, sizes.layers, 1));
  GRAFT_ASSIGN_OR_RETURN(groups.layers, config.GetIntIn("inner_group_num", 1, kMaxLayers, 1));
  const Module model(graph, PathOf("albert", "embeddings.word_embeddings.weight", graph));
  task->context_tokens = tables.position_rows;
  const EncoderHeads heads = {.dense = model.Name("pooler"),
                              .activation = schema::fb::ActivationKind::Tanh,
                              .pooler = model.Name("pooler")};
  return OutputHeads(config, heads, Encode(sizes, tables, groups, model), graph, task);
}

}  // namespace graft::converter
