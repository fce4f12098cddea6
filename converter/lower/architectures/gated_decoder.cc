// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"

#include <cmath>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/gated_layer.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualFullLayers = 28;

Result<schema::fb::ActivationKind> ReadActivationOr(const JsonValue& config, std::string_view key,
                                                    std::string_view usual) {
  if (usual.empty() || config.Has(key)) return ReadActivation(config, key);
  return ActivationFromName(usual);
}

// The embedding with what is done to it before the first layer.
Result<ValueId> Embed(const GatedDecoder& d, const Module& model, const DecoderInputs& inputs,
                      TaskDescription* task) {
  GraphBuilder& g = model.graph();
  const std::string embedding = model.Name(d.names.embedding);
  const TensorId table = g.Matrix(embedding + ".weight", d.sizes.vocabulary, d.sizes.hidden);
  const TensorId places = d.position_table ? d.position_table(model) : TensorId{};
  ValueId x = g.Embedding(embedding, inputs.ids, table, static_cast<float>(d.embedding_factor));
  if (task->vision && inputs.head == DecoderHead::kLogits) {
    GRAFT_ASSIGN_OR_RETURN(const ValueId images,
                           task->vision->lower(task->vision->config, g, &task->pictures.emplace()));
    x = g.PlaceImages("embedded_with_images", x, images);
  }
  if (d.position_table)
    x = g.Add("embedded", x, g.Embedding(model.Name("positions"), inputs.positions, places));
  return Normalize(d, model, d.embedding_norm, x);
}

LayerInputs AddLayerInputs(const GatedDecoder& d, const DecoderInputs& inputs, GraphBuilder& g) {
  LayerInputs of_layers = {.positions = inputs.positions};
  const auto add = [&](std::string_view name, const RopeFrequencies& frequencies) {
    RopeShape rope = AddRope(g, name, frequencies, d.attention.head_dim);
    rope.interleaved = d.interleaved;
    return rope;
  };
  if (d.rope)
    of_layers.rope = add(d.rope_in_windows ? "rope.full" : "rope.inverse_frequencies", *d.rope);
  of_layers.rope_in_windows =
      d.rope_in_windows ? add("rope.sliding", *d.rope_in_windows) : of_layers.rope;
  return of_layers;
}

}  // namespace

FusedProjection ByParts(std::string_view name, const AttentionShape& shape) {
  const int64_t query_width = shape.heads * shape.head_dim;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  return {.name = name,
          .query = {.begin = 0},
          .key = {.begin = query_width},
          .value = {.begin = query_width + kv_width}};
}

FusedProjection ByHeads(std::string_view name, const AttentionShape& shape) {
  const int64_t queries = shape.heads / shape.kv_heads * shape.head_dim;
  const int64_t stride = queries + 2 * shape.head_dim;
  return {.name = name,
          .query = {.begin = 0, .run_rows = queries, .run_stride = stride},
          .key = {.begin = queries, .run_rows = shape.head_dim, .run_stride = stride},
          .value = {
              .begin = queries + shape.head_dim, .run_rows = shape.head_dim, .run_stride = stride}};
}

AttentionShape GatedDecoder::AttentionOf(int64_t layer) const {
  AttentionShape shape = attention;
  shape.window = windows[static_cast<size_t>(layer)];
  return shape;
}

Result<GatedDecoder> ReadGatedDecoder(const JsonValue& config, const GatedDefaults& defaults) {
  GatedDecoder d;
  d.usual_padding = defaults.padding;
  GRAFT_ASSIGN_OR_RETURN(d.sizes, ReadDecoderSizes(config, defaults.mlp_key));
  GRAFT_ASSIGN_OR_RETURN(d.attention, ReadAttentionShape(config, d.sizes.hidden, defaults.head_dim,
                                                         defaults.kv_heads));
  if (defaults.reads_rope) {
    GRAFT_ASSIGN_OR_RETURN(d.rope, ReadRope(config, d.attention.head_dim, defaults.rope));
  }
  GRAFT_ASSIGN_OR_RETURN(d.epsilon, ReadEpsilon(config, defaults.epsilon_key, defaults.epsilon));
  GRAFT_ASSIGN_OR_RETURN(d.activation,
                         ReadActivationOr(config, defaults.activation_key, defaults.activation));
  GRAFT_ASSIGN_OR_RETURN(const bool attention_bias, config.GetBool("attention_bias", false));
  d.qkv_bias = d.output_bias = attention_bias;
  GRAFT_ASSIGN_OR_RETURN(d.mlp_bias, config.GetBool("mlp_bias", false));
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", defaults.tied));
  d.windows.assign(static_cast<size_t>(d.sizes.layers), 0);
  return d;
}

Status ReadEqualHeads(const JsonValue& config, std::string_view key, GatedDecoder* d) {
  AttentionShape& attention = d->attention;
  GRAFT_ASSIGN_OR_RETURN(attention.heads, config.GetIntIn(key, 1, kMaxHeads));
  if (d->sizes.hidden % attention.heads != 0) {
    return config.Find(key).Fail("is " + std::to_string(attention.heads) +
                                 ", which does not divide the model's width of " +
                                 std::to_string(d->sizes.hidden));
  }
  attention.kv_heads = attention.heads;
  attention.head_dim = d->sizes.hidden / attention.heads;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  d->windows.assign(static_cast<size_t>(d->sizes.layers), 0);
  return OkStatus();
}

Status ReadSwitchedWindows(const JsonValue& config, GatedDecoder* decoder) {
  GRAFT_ASSIGN_OR_RETURN(const bool switched, config.GetBool("use_sliding_window", false));
  int64_t window = 0;
  if (switched) {
    GRAFT_ASSIGN_OR_RETURN(window, config.GetIntIn("sliding_window", 1, kMaxContext, 4096));
  }
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadListedWindows(config, decoder->sizes.layers, window));
  if (listed) {
    decoder->windows = std::move(*listed);
  } else if (switched) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t full_layers,
                           config.GetIntIn("max_window_layers", 0, kMaxLayers, kUsualFullLayers));
    for (int64_t layer = full_layers; layer < decoder->sizes.layers; ++layer) {
      decoder->windows[static_cast<size_t>(layer)] = window;
    }
  }
  return OkStatus();
}

Status ReadWindows(const JsonValue& config, int64_t interval, int64_t usual,
                   GatedDecoder* decoder) {
  // Null: no window.
  if (Mentions(config, "sliding_window")) usual = 0;
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, usual));
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadListedWindows(config, decoder->sizes.layers, window));
  if (listed) {
    decoder->windows = std::move(*listed);
    return OkStatus();
  }
  for (int64_t layer = 0; layer < decoder->sizes.layers; ++layer) {
    const bool full = interval > 0 && (layer + 1) % interval == 0;
    decoder->windows[static_cast<size_t>(layer)] = full ? 0 : window;
  }
  return OkStatus();
}

Status LowerGatedDecoder(const GatedDecoder& decoder, const JsonValue& config, GraphBuilder& g,
                         TaskDescription* task) {
  GatedDecoder d = decoder;
  if (task->long_context) {
    GRAFT_ASSIGN_OR_RETURN(d.rope, LongRope(config, decoder.rope.value_or(RopeFrequencies{})));
  }
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, d.names.context_key, task));
  if (d.rope) task->context_tokens = ContextOf(*d.rope, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const LayerInputs of_layers = AddLayerInputs(d, inputs, g);
  const Module model = ModelModule(g, d.names.model, d.names.embedding);
  GRAFT_ASSIGN_OR_RETURN(ValueId x, Embed(d, model, inputs, task));
  for (int64_t layer = 0; layer < d.sizes.layers; ++layer) {
    x = AddLayer(d, model[d.names.layers][layer], layer, x, of_layers);
  }
  // Only rows whose logits are wanted go through the head.
  x = inputs.HeadRows(g, x);
  x = Normalize(d, model, d.norm_names.last, x,
                inputs.head == DecoderHead::kLogits ? d.logits_factor : 1.0);
  return AddHead(config, g, x, inputs,
                 {.weight = std::string(d.names.head) + ".weight",
                  .embedding = model.Name(d.names.embedding) + ".weight",
                  .vocabulary = d.sizes.vocabulary,
                  .tied = d.tied_head,
                  .bias = d.head_bias,
                  .soft_cap = d.logits_cap,
                  .usual_padding = d.usual_padding},
                 task);
}

}  // namespace graft::converter
