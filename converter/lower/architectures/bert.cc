// SPDX-License-Identifier: Apache-2.0
// The BERT family: encoders of texts with learned positions and norms after each residual.
#include <algorithm>
#include <string>

#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;
using schema::fb::PoolKind;

constexpr int64_t kMaxPositions = int64_t{1} << 24;
constexpr int64_t kMaxTokenTypes = 1 << 16;

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
  std::string path;  // of the encoder's modules; empty: none
  int64_t vocabulary = 0;
  int64_t position_rows = 0;
  int64_t first_position = 0;  // row of the position table that a text's first token takes
  int64_t token_types = 0;     // 0: none
  int64_t embedding_width = 0;
  std::string layers = "encoder.layer";
  const EncoderLayerNames* names = &kBertLayer;
};

// The rows that the layers make of tokens, and where the texts end.
struct Encoded {
  ValueId hidden;
  ValueId text_ends;
};

// The tensors of a checkpoint for a task lie below the family's name, those of the bare model do
// not.
std::string PathOf(const std::string& family, const GraphBuilder& graph) {
  return graph.Has(family + ".embeddings.word_embeddings.weight") ? family : "";
}

Result<BertConfig> ReadConfig(const JsonValue& config, const std::string& family,
                              const GraphBuilder& graph, const EncoderKeys& keys = {}) {
  BertConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadEncoderSizes(config, keys));
  c.path = PathOf(family, graph);
  c.embedding_width = c.sizes.hidden;
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(c.position_rows,
                         config.GetIntIn("max_position_embeddings", 1, kMaxPositions));
  GRAFT_ASSIGN_OR_RETURN(const bool is_decoder, config.GetBool("is_decoder", false));
  if (is_decoder) {
    return config.Find("is_decoder")
        .Fail("is true; of this family only encoders are converted", StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string positions,
                         config.GetString("position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return config.Find("position_embedding_type")
        .Fail("is \"" + positions + "\"; this version knows absolute", StatusCode::kUnsupported);
  }
  return c;
}

// Embeddings of tokens, positions and token types, then the layers.
Encoded Encode(const BertConfig& c, GraphBuilder& g) {
  const Module model(g, c.path);
  const Module embeddings = model["embeddings"];
  const ValueId ids = g.TokenIds();
  const ValueId positions = g.Positions();
  const ValueId text_ends = g.TextEnds();
  const auto table = [&](const char* module, ValueId index, TensorId rows) {
    return g.Embedding(embeddings.Name(module), index, rows);
  };
  ValueId x =
      table("word_embeddings", ids,
            g.Matrix(embeddings.Name("word_embeddings.weight"), c.vocabulary, c.embedding_width));
  if (c.token_types > 0) {
    const ValueId types = table(
        "token_type_embeddings", g.TokenTypes(),
        g.Table(embeddings.Name("token_type_embeddings.weight"), c.token_types, c.embedding_width));
    x = g.Add(embeddings.Name("with_types"), x, types);
  }
  const ValueId at = table("position_embeddings", positions,
                           g.Table(embeddings.Name("position_embeddings.weight"), c.position_rows,
                                   c.embedding_width, c.first_position));
  x = g.Add(embeddings.Name("with_positions"), x, at);
  x = EncoderNorm(embeddings, "LayerNorm", x, c.sizes.epsilon);
  if (c.embedding_width != c.sizes.hidden) {
    x = model.Linear("embeddings_project", x, c.sizes.hidden, /*bias=*/true);
  }
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    x = PostNormLayer(c.sizes, *c.names, model[c.layers][i], x, text_ends,
                      i + 1 == c.sizes.layers ? "last_hidden_state" : "");
  }
  return {x, text_ends};
}

Status Classify(const JsonValue& config, Task kind, const std::string& classifier, ValueId x,
                int64_t width, GraphBuilder& g, TaskDescription* task) {
  const int64_t labels = std::max<int64_t>(1, g.RowsOf(classifier + ".weight"));
  task->task = kind;
  GRAFT_RETURN_IF_ERROR(DescribeLabels(config, labels, task));
  const TensorId weight = g.Matrix(classifier + ".weight", labels, width);
  g.Output(g.Linear("logits", x, weight, g.Vector(classifier + ".bias", labels)));
  return OkStatus();
}

// A dense layer and an activation on each text's first row, then the scores.
Status ClassifyFirst(const JsonValue& config, const std::string& dense, ActivationKind activation,
                     const std::string& classifier, const Encoded& encoded, int64_t width,
                     GraphBuilder& g, TaskDescription* task) {
  const Module modules(g, "");
  ValueId x = g.PoolRows("first_rows", encoded.hidden, encoded.text_ends, PoolKind::Row);
  x = modules.Linear(dense, x, width, /*bias=*/true);
  x = g.Activation(dense + ".act", x, activation);
  return Classify(config, Task::kClassification, classifier, x, width, g, task);
}

// How a family turns a text's first row into scores.
struct SequenceHead {
  std::string dense;
  ActivationKind activation;
  std::string classifier;
};

Status Describe(const BertConfig& c, const JsonValue& config, const SequenceHead& sequence,
                GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const EncoderHead head,
                         ReadEncoderHead(config, g, sequence.classifier + ".weight"));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  task->context_tokens = c.position_rows - c.first_position;
  const Encoded encoded = Encode(c, g);
  const int64_t width = c.sizes.hidden;
  switch (head) {
    case EncoderHead::kEmbedding:
      OutputEmbeddings(encoded.hidden, encoded.text_ends, g, task);
      return OkStatus();
    case EncoderHead::kToken:
      return Classify(config, Task::kTokenClassification, "classifier", encoded.hidden, width, g,
                      task);
    case EncoderHead::kSequence:
      break;
  }
  return ClassifyFirst(config, sequence.dense, sequence.activation, sequence.classifier, encoded,
                       width, g, task);
}

}  // namespace

// BERT and MiniLM.
// Source   Devlin et al. 2018; Wang et al. 2020.
Status LowerBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, "bert", graph));
  GRAFT_ASSIGN_OR_RETURN(c.token_types, config.GetIntIn("type_vocab_size", 1, kMaxTokenTypes, 2));
  return Describe(c, config,
                  {Module(graph, c.path).Name("pooler.dense"), ActivationKind::Tanh, "classifier"},
                  graph, task);
}

// RoBERTa, XLM-RoBERTa and CamemBERT: positions start after the padding token's id.
// Source   Liu et al. 2019.
Status LowerRoberta(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, "roberta", graph));
  GRAFT_ASSIGN_OR_RETURN(c.token_types, config.GetIntIn("type_vocab_size", 1, kMaxTokenTypes, 2));
  GRAFT_ASSIGN_OR_RETURN(const int64_t padding,
                         config.GetIntIn("pad_token_id", 0, c.position_rows - 2, 1));
  c.first_position = padding + 1;
  return Describe(c, config, {"classifier.dense", ActivationKind::Tanh, "classifier.out_proj"},
                  graph, task);
}

// ELECTRA's discriminator: embeddings may be narrower than the layers.
// Source   Clark et al. 2020.
Status LowerElectra(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, "electra", graph));
  GRAFT_ASSIGN_OR_RETURN(c.token_types, config.GetIntIn("type_vocab_size", 1, kMaxTokenTypes, 2));
  GRAFT_ASSIGN_OR_RETURN(c.embedding_width,
                         config.GetIntIn("embedding_size", 1, kMaxWidth, c.sizes.hidden));
  return Describe(c, config, {"classifier.dense", ActivationKind::Gelu, "classifier.out_proj"},
                  graph, task);
}

// BERT with half the layers, no token types and names of its own.
// Source   Sanh et al. 2019.
Status LowerDistilBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  const EncoderKeys keys = {"dim", "hidden_dim", "n_layers", "n_heads", "activation"};
  GRAFT_ASSIGN_OR_RETURN(BertConfig c, ReadConfig(config, "distilbert", graph, keys));
  c.layers = "transformer.layer";
  c.names = &kDistilBertLayer;
  return Describe(c, config, {"pre_classifier", ActivationKind::Relu, "classifier"}, graph, task);
}

}  // namespace graft::converter
