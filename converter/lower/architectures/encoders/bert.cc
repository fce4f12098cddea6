// SPDX-License-Identifier: Apache-2.0
// The BERT family: encoders of texts with learned positions and norms after each residual.
#include <string>

#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

constexpr EncoderLayerNames kBertLayer = {"attention.self.query",
                                          "attention.self.key",
                                          "attention.self.value",
                                          "attention.output.dense",
                                          "attention.output.LayerNorm",
                                          "intermediate.dense",
                                          "output.dense",
                                          "output.LayerNorm"};
constexpr EncoderLayerNames kDistilBertLayer = {
    "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
    "sa_layer_norm",   "ffn.lin1",        "ffn.lin2",        "output_layer_norm"};

struct BertConfig {
  EncoderSizes sizes;
  TextTables tables;
  std::string path;  // of the encoder's modules; empty: none
  std::string layers = "encoder.layer";
  const EncoderLayerNames* names = &kBertLayer;
};

Result<BertConfig> ReadConfig(const JsonValue& config, const std::string& family,
                              const GraphBuilder& graph, const EncoderKeys& keys = {}) {
  BertConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadEncoderSizes(config, keys));
  c.path = PathOf(family, "embeddings.word_embeddings.weight", graph);
  GRAFT_ASSIGN_OR_RETURN(c.tables, ReadTextTables(config, c.sizes.hidden));
  GRAFT_RETURN_IF_ERROR(RefuseDecoders(config));
  return c;
}

// Embeddings of tokens, positions and token types, then the layers.
ValueId Encode(const BertConfig& c, GraphBuilder& g) {
  const Module model(g, c.path);
  const Module embeddings = model["embeddings"];
  ValueId x = EmbedTokens(c.tables, embeddings);
  x = EncoderNorm(embeddings, "LayerNorm", x, c.sizes.epsilon);
  if (c.tables.width != c.sizes.hidden)
    x = model.Linear("embeddings_project", x, c.sizes.hidden, /*bias=*/true);
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    x = PostNormLayer(c.sizes, *c.names, model[c.layers][i], x, g.text_ends(),
                      i + 1 == c.sizes.layers ? "last_hidden_state" : "");
  }
  return x;
}

Status Describe(const BertConfig& c, const JsonValue& config, EncoderHeads heads, GraphBuilder& g,
                TaskDescription* task) {
  heads.pooler = Module(g, c.path).Name("pooler.dense");
  task->context_tokens = c.tables.position_rows - c.tables.first_position;
  return OutputHeads(config, heads, Encode(c, g), g, task);
}

}  // namespace

// BERT and MiniLM.
// Source   Devlin et al. 2018; Wang et al. 2020.
Status LowerBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const BertConfig c, ReadConfig(config, "bert", graph));
  return Describe(
      c, config,
      {.dense = Module(graph, c.path).Name("pooler.dense"), .activation = ActivationKind::Tanh},
      graph, task);
}

// ERNIE: BERT under another name, as long as it has no rows for tasks.
// Source   Sun et al. 2019; Sun et al. 2021.
Status LowerErnie(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const BertConfig c, ReadConfig(config, "ernie", graph));
  GRAFT_ASSIGN_OR_RETURN(const bool uses_tasks, config.GetBool("use_task_id", false));
  if (uses_tasks) {
    return config.Find("use_task_id")
        .Fail("is true; this version knows false", StatusCode::kUnsupported);
  }
  return Describe(
      c, config,
      {.dense = Module(graph, c.path).Name("pooler.dense"), .activation = ActivationKind::Tanh},
      graph, task);
}

namespace {

Status LowerRobertaOf(const std::string& family, const JsonValue& config, GraphBuilder& graph,
                      TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, family, graph));
  GRAFT_ASSIGN_OR_RETURN(const int64_t padding,
                         config.GetIntIn("pad_token_id", 0, c.tables.position_rows - 2, 1));
  c.tables.first_position = padding + 1;
  return Describe(c, config,
                  {.dense = "classifier.dense",
                   .activation = ActivationKind::Tanh,
                   .classifier = "classifier.out_proj"},
                  graph, task);
}

}  // namespace

// RoBERTa, XLM-RoBERTa and CamemBERT: positions start after the padding token's id.
// Source   Liu et al. 2019.
Status LowerRoberta(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return LowerRobertaOf("roberta", config, graph, task);
}

// The same under another name.
// Source   Baevski et al. 2022.
Status LowerData2VecText(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return LowerRobertaOf("data2vec_text", config, graph, task);
}

// ELECTRA's discriminator: embeddings may be narrower than the layers.
// Source   Clark et al. 2020.
Status LowerElectra(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, "electra", graph));
  GRAFT_ASSIGN_OR_RETURN(c.tables.width,
                         config.GetIntIn("embedding_size", 1, kMaxWidth, c.sizes.hidden));
  return Describe(c, config,
                  {.dense = "classifier.dense",
                   .activation = ActivationKind::Gelu,
                   .classifier = "classifier.out_proj"},
                  graph, task);
}

// BERT with half the layers, no token types and names of its own.
// Source   Sanh et al. 2019.
Status LowerDistilBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  const EncoderKeys keys = {"dim", "hidden_dim", "n_layers", "n_heads", "activation"};
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, "distilbert", graph, keys));
  c.tables.token_types = 0;
  c.layers = "transformer.layer";
  c.names = &kDistilBertLayer;
  return Describe(c, config, {.dense = "pre_classifier", .activation = ActivationKind::Relu}, graph,
                  task);
}

}  // namespace graft::converter
