// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/encoders/text_encoder.h"

#include <vector>

#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;
using schema::fb::PoolKind;

// A dense layer and an activation on each text's first row.
ValueId PoolFirst(const std::string& dense, ActivationKind activation, const std::string& output,
                  ValueId hidden, GraphBuilder& g) {
  const Module modules(g, "");
  ValueId x = g.PoolRows("first_rows", hidden, g.text_ends(), PoolKind::Row);
  x = modules.Linear(dense, x, g.Width(hidden), /*bias=*/true);
  return g.Activation(output, x, activation);
}

// Whether config.json's class is the bare model, whose own pooler people read. One for pretraining
// has another use for it, and where files say how sentences are pooled, that is what is read.
Result<bool> ReadsPooler(const JsonValue& config, const TaskDescription& task) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.GetStrings("architectures"));
  return !task.pooling.stated && (names.empty() || names[0].ends_with("Model"));
}

}  // namespace

Result<TextTables> ReadTextTables(const JsonValue& config, int64_t width) {
  TextTables tables;
  tables.width = width;
  GRAFT_ASSIGN_OR_RETURN(tables.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(tables.token_types,
                         config.GetIntIn("type_vocab_size", 0, kMaxTokenTypes, 2));
  GRAFT_ASSIGN_OR_RETURN(tables.position_rows,
                         config.GetIntIn("max_position_embeddings", 1, kMaxPositions));
  return tables;
}

Status RefuseDecoders(const JsonValue& config) {
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
  return OkStatus();
}

std::string PathOf(const std::string& family, const std::string& first_tensor,
                   const GraphBuilder& graph) {
  return graph.Has(family + "." + first_tensor) ? family : "";
}

ValueId EmbedTokens(const TextTables& tables, const Module& embeddings) {
  GraphBuilder& g = embeddings.graph();
  const ValueId ids = g.TokenIds();
  if (tables.reads_positions) g.Positions();
  g.TextEnds();
  const std::string words = embeddings.Name("word_embeddings");
  ValueId x = g.Embedding(words, ids, g.Matrix(words + ".weight", tables.vocabulary, tables.width));
  if (tables.token_types > 0) {
    const std::string types = embeddings.Name("token_type_embeddings");
    const TensorId table = g.Table(types + ".weight", tables.token_types, tables.width);
    x = g.Add(embeddings.Name("with_types"), x, g.Embedding(types, g.TokenTypes(), table));
  }
  if (tables.position_rows > 0) {
    const std::string places = embeddings.Name("position_embeddings");
    const TensorId table =
        g.Table(places + ".weight", tables.position_rows, tables.width, tables.first_position);
    x = g.Add(embeddings.Name("with_positions"), x, g.Embedding(places, g.positions(), table));
  }
  return x;
}

Status OutputHeads(const JsonValue& config, const EncoderHeads& heads, ValueId hidden,
                   GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const EncoderHead head,
                         ReadEncoderHead(config, g, heads.classifier + ".weight"));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  switch (head) {
    case EncoderHead::kEmbedding: {
      OutputEmbeddings(hidden, g.text_ends(), g, task);
      GRAFT_ASSIGN_OR_RETURN(const bool reads_pooler, ReadsPooler(config, *task));
      if (reads_pooler && !heads.pooler.empty() && g.Has(heads.pooler + ".weight"))
        g.Output(PoolFirst(heads.pooler, ActivationKind::Tanh, "pooler_output", hidden, g));
      return OkStatus();
    }
    case EncoderHead::kToken:
      return OutputScores(config, Task::kTokenClassification, "classifier", hidden, g, task);
    case EncoderHead::kSequence:
      break;
  }
  const ValueId x = PoolFirst(heads.dense, heads.activation, heads.dense + ".act", hidden, g);
  return OutputScores(config, Task::kClassification, heads.classifier, x, g, task);
}

}  // namespace graft::converter
