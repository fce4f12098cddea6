// SPDX-License-Identifier: Apache-2.0
// RoFormer: BERT's layers, whose queries and keys are turned by their positions.
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "converter/lower/rope.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr double kTheta = 10000.0;
constexpr EncoderLayerNames kLayer = {"attention.self.query",
                                      "attention.self.key",
                                      "attention.self.value",
                                      "attention.output.dense",
                                      "attention.output.LayerNorm",
                                      "intermediate.dense",
                                      "output.dense",
                                      "output.LayerNorm"};

// A checkpoint has sines and cosines as a table, which need not be what the frequencies give.
RopeShape RopeOf(const Module& encoder, int64_t position_rows, int64_t head_dim) {
  GraphBuilder& g = encoder.graph();
  RopeShape rope;
  rope.head_dim = rope.rotary_dim = head_dim;
  rope.interleaved = true;
  const std::string table = encoder.Name("embed_positions.weight");
  if (g.Has(table)) {
    rope.table = g.Table(table, position_rows, head_dim);
  } else {
    rope.inverse_frequencies =
        g.Literal("rope.inverse_frequencies", PlainRope(kTheta, head_dim).inverse);
    rope.positions = position_rows;
  }
  return rope;
}

}  // namespace

// Source   Su et al. 2021.
Status LowerRoFormer(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const EncoderSizes sizes, ReadEncoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t width,
                         config.GetIntIn("embedding_size", 1, kMaxWidth, sizes.hidden));
  GRAFT_ASSIGN_OR_RETURN(TextTables tables, ReadTextTables(config, width));
  GRAFT_RETURN_IF_ERROR(RefuseDecoders(config));
  EncoderRope rope;
  GRAFT_ASSIGN_OR_RETURN(rope.values, config.GetBool("rotary_value", false));
  if (sizes.attention.head_dim % 2 != 0)
    return config.Find("num_attention_heads").Fail("leaves heads of an odd width");
  const int64_t position_rows = tables.position_rows;
  tables.position_rows = 0;
  const Module model(graph, PathOf("roformer", "embeddings.word_embeddings.weight", graph));
  ValueId x = EmbedTokens(tables, model["embeddings"]);
  x = EncoderNorm(model["embeddings"], "LayerNorm", x, sizes.epsilon);
  if (width != sizes.hidden) x = model.Linear("embeddings_project", x, sizes.hidden, /*bias=*/true);
  rope.shape = RopeOf(model["encoder"], position_rows, sizes.attention.head_dim);
  rope.positions = graph.positions();
  for (int64_t i = 0; i < sizes.layers; ++i) {
    x = PostNormLayer(sizes, kLayer, model["encoder.layer"][i], x, graph.text_ends(),
                      i + 1 == sizes.layers ? "last_hidden_state" : "", &rope);
  }
  task->context_tokens = position_rows;
  const EncoderHeads heads = {.dense = "classifier.dense",
                              .activation = sizes.activation,
                              .classifier = "classifier.out_proj"};
  return OutputHeads(config, heads, x, graph, task);
}

}  // namespace graft::converter
