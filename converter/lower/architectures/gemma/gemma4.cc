// SPDX-License-Identifier: Apache-2.0
// Gemma 4's text model.
#include <cmath>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/gemma/per_layer_embedding.h"
#include "converter/lower/architectures/gemma/shared_attention.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualHeadDim = 256;
constexpr int64_t kUsualGlobalHeadDim = 512;
constexpr int64_t kUsualKvHeads = 4;
constexpr size_t kUsualInterval = 6;  // one layer of so many has no window

// What files without the key have.
struct UsualSettings {
  int64_t window = 0;
  int64_t width_of_layer = 0;  // as PerLayerEmbedding has it
};

struct Gemma4Config {
  DecoderSizes sizes;
  AttentionShape full, sliding;
  LayerRopes ropes;
  std::vector<bool> slides;
  std::vector<int64_t> sources;  // as ReadSharedLayers gives them
  bool value_is_key = false;     // on full layers
  bool bias = false;
  bool double_wide = false;  // the MLPs of layers that share
  bool tied_head = false;
  float epsilon = 0.0f;
  float logits_cap = 0.0f;
  schema::fb::ActivationKind activation{};
};

Result<std::vector<bool>> ReadSlides(const JsonValue& config, int64_t layers) {
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadSlidingLayers(config, layers));
  std::vector<bool> slides(static_cast<size_t>(layers));
  for (size_t layer = 0; layer < slides.size(); ++layer)
    slides[layer] = listed ? (*listed)[layer] : (layer + 1) % kUsualInterval != 0;
  // Whatever the file says.
  slides.back() = false;
  return slides;
}

Status ReadShapes(const JsonValue& config, int64_t usual_window, Gemma4Config* c) {
  GRAFT_ASSIGN_OR_RETURN(c->sliding,
                         ReadAttentionShape(config, c->sizes.hidden, kUsualHeadDim, kUsualKvHeads));
  c->sliding.scale = 1.0f;
  c->full = c->sliding;
  GRAFT_ASSIGN_OR_RETURN(c->sliding.window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, usual_window));
  const int64_t usual = Mentions(config, "global_head_dim") ? 0 : kUsualGlobalHeadDim;
  GRAFT_ASSIGN_OR_RETURN(const int64_t head_dim,
                         config.GetIntIn("global_head_dim", 0, kMaxHeadDim, usual));
  if (head_dim > 0) c->full.head_dim = head_dim;
  GRAFT_ASSIGN_OR_RETURN(c->value_is_key, config.GetBool("attention_k_eq_v", false));
  if (!c->value_is_key) return OkStatus();
  constexpr std::string_view kKvHeads = "num_global_key_value_heads";
  GRAFT_ASSIGN_OR_RETURN(c->full.kv_heads,
                         config.GetIntIn(kKvHeads, 1, kMaxHeads, c->full.kv_heads));
  if (c->full.heads % c->full.kv_heads == 0) return OkStatus();
  return config.Find(kKvHeads).Fail("is " + std::to_string(c->full.kv_heads) +
                                    ", which does not divide the " + std::to_string(c->full.heads) +
                                    " attention heads");
}

Status ReadRopes(const JsonValue& config, Gemma4Config* c) {
  const JsonValue parameters = config.Find("rope_parameters");
  RopeDefaults full = {.by_layer_type = true};
  if (parameters.IsNull()) {
    full.theta = 1e6;
    full.type = "proportional";
    full.rotated_part = 0.25;
  } else {
    for (const char* type : {"full_attention", "sliding_attention"})
      GRAFT_RETURN_IF_ERROR(parameters.Get(type, JsonKind::kObject).status());
  }
  GRAFT_ASSIGN_OR_RETURN(
      c->ropes.full,
      ReadRopeParameters(config, parameters.Find("full_attention"), c->full.head_dim, full));
  GRAFT_ASSIGN_OR_RETURN(c->ropes.sliding,
                         ReadRopeParameters(config, parameters.Find("sliding_attention"),
                                            c->sliding.head_dim, {.by_layer_type = true}));
  // Frequencies of other types are those of a head of head_dim.
  GRAFT_ASSIGN_OR_RETURN(const std::string type,
                         parameters.Find("full_attention").GetString("rope_type", full.type));
  if (type == "proportional" || c->full.head_dim == c->sliding.head_dim) return OkStatus();
  return parameters.Find("full_attention")
      .Fail("is of type \"" + type + "\", which does not turn heads of global_head_dim",
            StatusCode::kUnsupported);
}

Result<Gemma4Config> ReadConfig(const JsonValue& config, const UsualSettings& usual) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "final_logit_softcapping", "layer_types", "num_experts",
               "sliding_window", "use_bidirectional_attention"}));
  GRAFT_ASSIGN_OR_RETURN(const bool experts, config.GetBool("enable_moe_block", false));
  if (experts) {
    return config.Find("enable_moe_block")
        .Fail("is true; this version converts Gemma 4 without experts", StatusCode::kUnsupported);
  }
  // Without a picture among the tokens "vision" changes nothing.
  GRAFT_ASSIGN_OR_RETURN(const std::string both_ways,
                         config.GetString("use_bidirectional_attention", ""));
  if (!both_ways.empty() && both_ways != "vision") {
    return config.Find("use_bidirectional_attention")
        .Fail("is \"" + both_ways + "\"; this version converts Gemma 4 whose text is causal",
              StatusCode::kUnsupported);
  }
  Gemma4Config c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadDecoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(c.slides, ReadSlides(config, c.sizes.layers));
  GRAFT_RETURN_IF_ERROR(ReadShapes(config, usual.window, &c));
  GRAFT_RETURN_IF_ERROR(ReadRopes(config, &c));
  GRAFT_ASSIGN_OR_RETURN(c.sources, ReadSharedLayers(config, c.slides, 0));
  GRAFT_ASSIGN_OR_RETURN(c.bias, config.GetBool("attention_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.double_wide, config.GetBool("use_double_wide_mlp", false));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "rms_norm_eps", 1e-6));
  GRAFT_ASSIGN_OR_RETURN(c.logits_cap, ReadCap(config, "final_logit_softcapping", 0.0));
  GRAFT_ASSIGN_OR_RETURN(const std::string activation,
                         config.GetString("hidden_activation", "gelu_pytorch_tanh"));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ActivationFromName(activation));
  return c;
}

SharedAttention MakeAttention(const Gemma4Config& c, ValueId positions, GraphBuilder& g) {
  const RopeShape full = AddRope(g, "rope.full", c.ropes.full, c.full.head_dim);
  const RopeShape sliding = AddRope(g, "rope.sliding", c.ropes.sliding, c.sliding.head_dim);
  std::vector<LayerAttention> layers;
  for (size_t layer = 0; layer < c.slides.size(); ++layer) {
    const bool slides = c.slides[layer];
    layers.push_back({.shape = slides ? c.sliding : c.full,
                      .rope = slides ? sliding : full,
                      .source = c.sources[layer],
                      .value_is_key = c.value_is_key && !slides});
  }
  return {std::move(layers), positions, c.epsilon, c.bias};
}

ValueId AddLayer(const Gemma4Config& c, const PerLayerEmbedding& per_layer, const Module& m,
                 int64_t layer, ValueId x, SharedAttention* attention) {
  GraphBuilder& g = m.graph();
  ValueId h = m.RmsNorm("input_layernorm", x, c.epsilon);
  h = attention->Add(m["self_attn"], layer, h);
  h = m.RmsNorm("post_attention_layernorm", h, c.epsilon);
  x = g.Add(m.Name("attention_residual"), x, h);
  h = m.RmsNorm("pre_feedforward_layernorm", x, c.epsilon);
  const bool shares = c.sources[static_cast<size_t>(layer)] >= 0;
  h = GatedMlp(m["mlp"], h, c.sizes.mlp_hidden * (c.double_wide && shares ? 2 : 1), c.activation,
               /*bias=*/false);
  h = m.RmsNorm("post_feedforward_layernorm", h, c.epsilon);
  x = g.Add(m.Name("mlp_residual"), x, h);
  if (per_layer.width() > 0) {
    h = per_layer.Gate(m, layer, x, c.activation, {});
    x = g.Add(m.Name("per_layer_residual"), x, h);
  }
  const double scalar = g.Numbers(m.Name("layer_scalar"), 1)[0];
  if (scalar == 1.0) return x;
  return g.Scale(m.Name("scaled"), x, static_cast<float>(scalar));
}

Status Lower(const JsonValue& config, const UsualSettings& usual, GraphBuilder& g,
             TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(Gemma4Config c, ReadConfig(config, usual));
  GRAFT_ASSIGN_OR_RETURN(
      PerLayerEmbedding per_layer,
      PerLayerEmbedding::Read(config, c.sizes.layers, usual.width_of_layer, c.epsilon));
  if (task->long_context) {
    GRAFT_ASSIGN_OR_RETURN(c.ropes.full, LongRope(config, c.ropes.full));
  }
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  task->context_tokens = ContextOf(c.ropes.full, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const Module model = ModelModule(g, "model", "embed_tokens");
  const std::string embedding = model.Name("embed_tokens");
  ValueId x = g.Embedding(embedding, inputs.ids,
                          g.Matrix(embedding + ".weight", c.sizes.vocabulary, c.sizes.hidden),
                          static_cast<float>(std::sqrt(static_cast<double>(c.sizes.hidden))));
  if (per_layer.width() > 0) per_layer.Add(model, inputs.ids, x);
  SharedAttention attention = MakeAttention(c, inputs.positions, g);
  const int64_t first_sharing = attention.FirstSharing();
  for (int64_t layer = 0; layer < c.sizes.layers; ++layer) {
    if (layer == first_sharing) {
      x = inputs.HeadRows(g, x);
      per_layer.SelectRows(g, inputs);
      attention.SelectRows(g, inputs);
    }
    x = AddLayer(c, per_layer, model["layers"][layer], layer, x, &attention);
  }
  if (first_sharing == c.sizes.layers) x = inputs.HeadRows(g, x);
  x = model.RmsNorm("norm", x, c.epsilon);
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = embedding + ".weight",
                  .vocabulary = c.sizes.vocabulary,
                  .tied = c.tied_head,
                  .soft_cap = c.logits_cap,
                  .usual_padding = 0},
                 task);
}

}  // namespace

// Heads of another size on layers without a window, of which only a part turns; layers that share
// keys and values; embeddings for each layer.
// Source   transformers 5.12, Gemma4TextModel.
Status LowerGemma4(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return Lower(config, {.window = 512, .width_of_layer = 256}, graph, task);
}

// The same without embeddings for each layer.
// Source   transformers 5.12, Gemma4UnifiedTextModel.
Status LowerGemma4Unified(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  return Lower(config, {.window = 1024}, graph, task);
}

}  // namespace graft::converter
