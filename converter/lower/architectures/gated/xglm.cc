// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

constexpr int64_t kFirstPosition = 2;

// Sines, then cosines, of positions from kFirstPosition on, in float32 as transformers computes
// them. The row of the padding token is zeros.
// Source   Vaswani et al. 2017.
std::vector<float> Sinusoids(int64_t positions, int64_t width, int64_t padding) {
  const int64_t half = width / 2;
  const auto step = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
  std::vector<float> table(static_cast<size_t>(positions * width));
  for (int64_t row = 0; row < positions; ++row) {
    const int64_t position = row + kFirstPosition;
    if (position == padding) continue;
    float* to = table.data() + row * width;
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * std::exp(static_cast<float>(i) * step);
      to[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
      to[half + i] = static_cast<float>(std::cos(static_cast<double>(angle)));
    }
  }
  return table;
}

}  // namespace

// XGLM: sinusoids in the place of learned positions, biases everywhere.
// Source   Lin et al. 2022.
Status LowerXglm(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {}));
  GatedDecoder d;
  GRAFT_ASSIGN_OR_RETURN(d.sizes.hidden, config.GetIntIn("d_model", 4, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.mlp_hidden, config.GetIntIn("ffn_dim", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.layers, config.GetIntIn("num_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_RETURN_IF_ERROR(ReadEqualHeads(config, "attention_heads", &d));
  GRAFT_ASSIGN_OR_RETURN(const int64_t context,
                         config.GetIntIn("max_position_embeddings", 1, int64_t{1} << 20, 2048));
  const char* key = "activation_function";
  GRAFT_ASSIGN_OR_RETURN(
      d.activation, config.Has(key) ? ReadActivation(config, key) : ActivationFromName("gelu"));
  GRAFT_ASSIGN_OR_RETURN(const bool scales, config.GetBool("scale_embedding", true));
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(const int64_t padding,
                         config.GetInt("pad_token_id", Mentions(config, "pad_token_id") ? -1 : 1));
  if (scales) d.embedding_factor = std::sqrt(static_cast<double>(d.sizes.hidden));
  d.epsilon = 1e-5f;  // no setting
  d.usual_padding = 1;
  d.qkv_bias = d.output_bias = d.mlp_bias = true;
  d.norm = {.centers = true, .bias = true};
  d.norm_names = {.before_attention = "self_attn_layer_norm",
                  .before_mlp = "final_layer_norm",
                  .last = "layer_norm"};
  d.names = {.attention_output = "out_proj", .mlp = {}};
  d.mlp = {.gated = false, .up = "fc1", .down = "fc2"};
  d.position_table = [context, padding, width = d.sizes.hidden](const Module& model) {
    return model.graph().LiteralMatrix("positions.table", Sinusoids(context, width, padding),
                                       width);
  };
  GRAFT_RETURN_IF_ERROR(LowerGatedDecoder(d, config, graph, task));
  task->context_tokens = context;
  return OkStatus();
}

}  // namespace graft::converter
