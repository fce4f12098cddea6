// SPDX-License-Identifier: Apache-2.0
// MPNet: BERT's layers, with biases by distance in buckets that all layers share.
#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/relative_positions.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr EncoderLayerNames kLayer = {
    "attention.attn.q",    "attention.attn.k",   "attention.attn.v", "attention.attn.o",
    "attention.LayerNorm", "intermediate.dense", "output.dense",     "output.LayerNorm"};
// Of the position table, whatever the padding token's id: the first row is that of padding.
constexpr int64_t kFirstPosition = 2;
// Whatever the configuration says, distances are cut into as many.
constexpr int64_t kBuckets = 32;

}  // namespace

// Source   Song et al. 2020.
Status LowerMpNet(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(EncoderSizes sizes, ReadEncoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(TextTables tables, ReadTextTables(config, sizes.hidden));
  GRAFT_RETURN_IF_ERROR(RefuseDecoders(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t buckets, config.GetIntIn("relative_attention_num_buckets",
                                                                kBuckets, kBuckets, kBuckets));
  tables.token_types = 0;
  tables.first_position = kFirstPosition;
  if (tables.position_rows <= kFirstPosition)
    return config.Find("max_position_embeddings").Fail("must be larger than 2");
  const Module model(graph, PathOf("mpnet", "embeddings.word_embeddings.weight", graph));
  const Module encoder = model["encoder"];
  AddPositionBias(encoder.Name("relative_attention_bias.weight"), {.buckets = buckets}, graph,
                  &sizes.attention);
  ValueId x = EmbedTokens(tables, model["embeddings"]);
  x = EncoderNorm(model["embeddings"], "LayerNorm", x, sizes.epsilon);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    x = PostNormLayer(sizes, kLayer, encoder["layer"][i], x, graph.text_ends(),
                      i + 1 == sizes.layers ? "last_hidden_state" : "");
  }
  task->context_tokens = tables.position_rows - tables.first_position;
  const EncoderHeads heads = {.dense = "classifier.dense",
                              .activation = schema::fb::ActivationKind::Tanh,
                              .classifier = "classifier.out_proj",
                              .pooler = model.Name("pooler.dense")};
  return OutputHeads(config, heads, x, graph, task);
}

}  // namespace graft::converter
