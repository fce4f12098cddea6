// SPDX-License-Identifier: Apache-2.0
// BERT and RoBERTa with norms before each part and one at the end.
#include <string>

#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

struct Family {
  const char* path;  // of a model for a task
  EncoderLayerNames layer;
  const char* last_norm;
  bool norms_embeddings = false;
  bool counts_from_padding = false;  // positions, as RoBERTa's
};

constexpr Family kXlmRobertaXl = {
    "roberta",
    {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
     "attention.self_attn_layer_norm", "intermediate.dense", "output.dense", "LayerNorm"},
    "encoder.LayerNorm",
    /*norms_embeddings=*/false,
    /*counts_from_padding=*/true};
constexpr Family kRobertaPreNorm = {
    "roberta_prelayernorm",
    {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
     "attention.LayerNorm", "intermediate.dense", "output.dense", "intermediate.LayerNorm"},
    "LayerNorm",
    /*norms_embeddings=*/true,
    /*counts_from_padding=*/true};
constexpr Family kMegatronBert = {
    "bert",
    {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
     "attention.ln", "intermediate.dense", "output.dense", "ln"},
    "encoder.ln"};

Status Describe(const Family& family, const JsonValue& config, GraphBuilder& g,
                TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const EncoderSizes sizes, ReadEncoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(TextTables tables, ReadTextTables(config, sizes.hidden));
  GRAFT_RETURN_IF_ERROR(RefuseDecoders(config));
  if (family.counts_from_padding) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t padding,
                           config.GetIntIn("pad_token_id", 0, tables.position_rows - 2, 1));
    tables.first_position = padding + 1;
  }
  const Module model(g, PathOf(family.path, "embeddings.word_embeddings.weight", g));
  ValueId x = EmbedTokens(tables, model["embeddings"]);
  if (family.norms_embeddings) x = EncoderNorm(model["embeddings"], "LayerNorm", x, sizes.epsilon);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    x = PreNormLayer(sizes, family.layer, model["encoder.layer"][i], x, /*qkv_bias=*/true,
                     g.text_ends());
  }
  x = EncoderNorm(model, family.last_norm, x, sizes.epsilon, "last_hidden_state");
  task->context_tokens = tables.position_rows - tables.first_position;
  const std::string pooler = model.Name("pooler.dense");
  EncoderHeads heads = {.dense = pooler, .activation = ActivationKind::Tanh, .pooler = pooler};
  if (family.counts_from_padding) {
    heads.dense = "classifier.dense";
    heads.classifier = "classifier.out_proj";
  }
  return OutputHeads(config, heads, x, g, task);
}

}  // namespace

// Source   Goyal et al. 2021.
Status LowerXlmRobertaXl(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return Describe(kXlmRobertaXl, config, graph, task);
}

// Source   Ott et al. 2019.
Status LowerRobertaPreNorm(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return Describe(kRobertaPreNorm, config, graph, task);
}

// Source   Shoeybi et al. 2019.
Status LowerMegatronBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return Describe(kMegatronBert, config, graph, task);
}

}  // namespace graft::converter
