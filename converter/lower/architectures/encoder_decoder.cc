// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/encoder_decoder.h"

#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/decoder_parts.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kEpsilon = 1e-5f;  // LayerNorm's own; no setting

Result<LayerStackSizes> ReadSizes(const JsonValue& config, const std::string& side,
                                  int64_t hidden) {
  LayerStackSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.layers, config.GetIntIn(side + "_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden, config.GetIntIn(side + "_ffn_dim", 1, kMaxWidth));
  const std::string heads_key = side + "_attention_heads";
  GRAFT_ASSIGN_OR_RETURN(const int64_t heads, config.GetIntIn(heads_key, 1, kMaxHeads));
  if (hidden % heads != 0) {
    return config.Find(heads_key).Fail("is " + std::to_string(heads) +
                                       ", which does not divide the width of " +
                                       std::to_string(hidden));
  }
  sizes.attention.heads = sizes.attention.kv_heads = heads;
  sizes.attention.head_dim = hidden / heads;
  sizes.attention.scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(sizes.attention.head_dim)));
  return sizes;
}

// Row i is at position i; sines of half of the frequencies' angles, then cosines.
// Source   Vaswani et al. 2017; XLM and fairseq differ in their frequencies.
std::vector<float> Sinusoids(PositionTable kind, int64_t rows, int64_t width, int64_t first) {
  std::vector<float> table;
  const int64_t half = width / 2;
  const int64_t sines = kind == PositionTable::kSinusoids ? width - half : half;
  for (int64_t row = first; row < first + rows; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      const bool is_sine = column < sines;
      const int64_t i = is_sine ? column : column - sines;
      if (i >= half && !is_sine) {  // of an odd width
        table.push_back(0.0f);
        continue;
      }
      double angle = 0.0;
      if (kind == PositionTable::kSinusoids) {
        angle = static_cast<double>(row) /
                std::pow(10000.0, 2.0 * static_cast<double>(i) / static_cast<double>(width));
      } else {  // in f32, as its programs compute it
        const auto step = static_cast<float>(std::log(10000.0) / static_cast<double>(half - 1));
        const auto frequency =
            static_cast<float>(std::exp(static_cast<double>(static_cast<float>(i) * -step)));
        angle = static_cast<double>(static_cast<float>(row) * frequency);
      }
      table.push_back(static_cast<float>(is_sine ? std::sin(angle) : std::cos(angle)));
    }
  }
  return table;
}

TensorId PositionRows(const EncoderDecoder& c, const Module& side) {
  GraphBuilder& g = side.graph();
  const std::string stored = side.Name("embed_positions.weight");
  const bool computed = c.position_table == PositionTable::kFairseqSinusoids ||
                        (c.position_table == PositionTable::kSinusoids && !g.Has(stored));
  if (!computed) return g.Table(stored, c.positions + c.first_position, c.hidden, c.first_position);
  return g.LiteralMatrix(
      stored, Sinusoids(c.position_table, c.positions, c.hidden, c.first_position), c.hidden);
}

// Tokens and their positions; encoders and decoders of two vocabularies have embeddings of their own.
ValueId Embed(const EncoderDecoder& c, const Module& side, ValueId ids, ValueId positions,
              int64_t vocabulary) {
  GraphBuilder& g = side.graph();
  const std::string own = side.Name("embed_tokens.weight");
  const char* const shared = "model.shared.weight";
  const std::string table = g.Has(shared) ? g.OwnOrShared(own, shared) : own;
  ValueId x = g.Embedding(side.Name("embed_tokens"), ids, g.Matrix(table, vocabulary, c.hidden),
                          c.embedding_scale);
  const ValueId at = g.Embedding(side.Name("embed_positions"), positions, PositionRows(c, side));
  x = g.Add(side.Name("with_positions"), x, at);
  return c.embedding_norm ? side.LayerNorm("layernorm_embedding", x, kEpsilon) : x;
}

// Computes a layer's parts, each with its residual and norm.
class Layer {
 public:
  Layer(const EncoderDecoder& c, const LayerStackSizes& sizes, Module layer)
      : c_(c), sizes_(sizes), layer_(std::move(layer)) {}

  // x + part(norm(x)), or norm(x + part(x)).
  template <typename Part>
  ValueId Residual(const std::string& norm, ValueId x, Part part) const {
    const ValueId h = part(c_.norm_first ? layer_.LayerNorm(norm, x, kEpsilon) : x);
    const ValueId sum = layer_.graph().Add(layer_.Name(norm + ".residual"), x, h);
    return c_.norm_first ? sum : layer_.LayerNorm(norm, sum, kEpsilon);
  }

  ValueId SelfAttention(ValueId x, ValueId positions) const {
    return Residual("self_attn_layer_norm", x, [&](ValueId h) {
      const Module m = layer_["self_attn"];
      const ValueId query = m.Linear("q_proj", h, c_.hidden, /*bias=*/true);
      const ValueId key = m.Linear("k_proj", h, c_.hidden, c_.key_bias);
      const ValueId value = m.Linear("v_proj", h, c_.hidden, /*bias=*/true);
      const ValueId attended =
          positions.index < 0
              ? m.graph().Attention(m.Name("attention"), query, key, value, {}, sizes_.attention)
              : Attend(m, query, key, value, positions, sizes_.attention, std::nullopt);
      return m.Linear("out_proj", attended, c_.hidden, /*bias=*/true);
    });
  }

  ValueId CrossAttention(ValueId x, ValueId encoded) const {
    return Residual("encoder_attn_layer_norm", x, [&](ValueId h) {
      const Module m = layer_["encoder_attn"];
      const ValueId query = m.Linear("q_proj", h, c_.hidden, /*bias=*/true);
      const ValueId key = m.Linear("k_proj", encoded, c_.hidden, c_.key_bias);
      const ValueId value = m.Linear("v_proj", encoded, c_.hidden, /*bias=*/true);
      const ValueId attended =
          m.graph().CrossAttention(m.Name("attention"), query, key, value, sizes_.attention);
      return m.Linear("out_proj", attended, c_.hidden, /*bias=*/true);
    });
  }

  ValueId Mlp(ValueId x) const {
    return Residual("final_layer_norm", x, [&](ValueId h) {
      h = layer_.Linear("fc1", h, sizes_.mlp_hidden, /*bias=*/true);
      h = layer_.graph().Activation(layer_.Name("act"), h, c_.activation);
      return layer_.Linear("fc2", h, c_.hidden, /*bias=*/true);
    });
  }

 private:
  const EncoderDecoder& c_;
  const LayerStackSizes& sizes_;
  Module layer_;
};

ValueId Logits(const EncoderDecoder& c, GraphBuilder& g, ValueId x) {
  std::string table = c.head;
  for (const char* tied : {"model.shared.weight", "model.decoder.embed_tokens.weight"}) {
    if (!g.Has(table)) table = tied;
  }
  const char* const bias = "final_logits_bias";
  return g.Linear("logits", x, g.Matrix(table, c.decoder_vocabulary, c.hidden),
                  g.Has(bias) ? g.Flattened(bias, {1, c.decoder_vocabulary}) : TensorId{});
}

}  // namespace

Result<EncoderDecoder> ReadEncoderDecoder(const JsonValue& config) {
  EncoderDecoder c;
  GRAFT_ASSIGN_OR_RETURN(c.hidden, config.GetIntIn("d_model", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.encoder, ReadSizes(config, "encoder", c.hidden));
  GRAFT_ASSIGN_OR_RETURN(c.decoder, ReadSizes(config, "decoder", c.hidden));
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  c.decoder_vocabulary = c.vocabulary;
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "activation_function"));
  return c;
}

ValueId EncodeRows(const EncoderDecoder& c, const Module& encoder, ValueId x) {
  for (int64_t i = 0; i < c.encoder.layers; ++i) {
    const Layer layer(c, c.encoder, encoder["layers"][i]);
    x = layer.Mlp(layer.SelfAttention(x, ValueId{}));
  }
  return c.final_norm ? encoder.LayerNorm("layer_norm", x, kEpsilon) : x;
}

void DecodeRows(const EncoderDecoder& c, GraphBuilder& g, ValueId encoded, TaskDescription* task) {
  const Module decoder(g, "model.decoder");
  const ValueId ids = g.TokenIds("decoder_input_ids");
  const ValueId positions = g.Positions();
  const ValueId output_rows = g.OutputRows();
  ValueId x = Embed(c, decoder, ids, positions, c.decoder_vocabulary);
  for (int64_t i = 0; i < c.decoder.layers; ++i) {
    const Layer layer(c, c.decoder, decoder["layers"][i]);
    x = layer.SelfAttention(x, positions);
    x = layer.CrossAttention(x, encoded);
    x = layer.Mlp(x);
  }
  x = g.SelectRows("last_hidden", x, output_rows);
  if (c.final_norm) x = decoder.LayerNorm("layer_norm", x, kEpsilon);
  g.Output(Logits(c, g, x));
  task->task = Task::kTextGeneration;
  task->target.emplace();
  task->context_tokens = c.positions;
}

Status RequireGenerating(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.GetStrings("architectures"));
  if (names.empty() || names[0].ends_with("ForConditionalGeneration") ||
      names[0].ends_with("MTModel")) {
    return OkStatus();
  }
  return config.Find("architectures")
      .Fail("is " + names[0] +
                "; of encoder-decoders this version converts those that generate text: "
                "ForConditionalGeneration and MTModel",
            StatusCode::kUnsupported);
}

namespace {

// An encoder of tokens, then the decoder.
Status LowerTexts(const EncoderDecoder& c, const JsonValue& config, GraphBuilder& g,
                  TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RequireGenerating(config));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  const Module encoder(g, "model.encoder");
  const ValueId ids = g.SourceIds();
  const ValueId positions = g.SourcePositions();
  const ValueId x = Embed(c, encoder, ids, positions, c.vocabulary);
  DecodeRows(c, g, EncodeRows(c, encoder, x), task);
  return OkStatus();
}

Result<EncoderDecoder> ReadTexts(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadEncoderDecoder(config));
  GRAFT_ASSIGN_OR_RETURN(c.positions,
                         config.GetIntIn("max_position_embeddings", 1, int64_t{1} << 20, 1024));
  GRAFT_ASSIGN_OR_RETURN(const bool scaled, config.GetBool("scale_embedding", false));
  if (scaled) c.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(c.hidden)));
  return c;
}

}  // namespace

// Source   Lewis et al. 2019.
Status LowerBart(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadTexts(config));
  c.first_position = 2;  // the rows before it belonged to padding
  c.embedding_norm = true;
  return LowerTexts(c, config, g, task);
}

// BART with norms first, and one behind the last layer.
// Source   Liu et al. 2020.
Status LowerMBart(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadTexts(config));
  c.first_position = 2;
  c.embedding_norm = c.norm_first = c.final_norm = true;
  return LowerTexts(c, config, g, task);
}

// Source   Zhang et al. 2019.
Status LowerPegasus(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadTexts(config));
  c.position_table = PositionTable::kSinusoids;
  c.norm_first = c.final_norm = true;
  return LowerTexts(c, config, g, task);
}

// Source   Junczys-Dowmunt et al. 2018.
Status LowerMarian(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadTexts(config));
  c.position_table = PositionTable::kSinusoids;
  if (!config.Find("decoder_vocab_size").IsNull()) {
    GRAFT_ASSIGN_OR_RETURN(c.decoder_vocabulary,
                           config.GetIntIn("decoder_vocab_size", 1, kMaxVocabulary));
  }
  return LowerTexts(c, config, g, task);
}

// M2M-100 and NLLB. Positions of tokens begin after the padding token's id.
// Source   Fan et al. 2020; NLLB Team 2022.
Status LowerM2M100(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadTexts(config));
  GRAFT_ASSIGN_OR_RETURN(const bool scaled, config.GetBool("scale_embedding", true));
  c.embedding_scale = scaled ? static_cast<float>(std::sqrt(static_cast<double>(c.hidden))) : 1.0f;
  c.position_table = PositionTable::kFairseqSinusoids;
  GRAFT_ASSIGN_OR_RETURN(const int64_t padding,
                         config.GetIntIn("pad_token_id", 0, kMaxVocabulary, 1));
  c.first_position = padding + 1;
  c.norm_first = c.final_norm = true;
  if (c.hidden < 4)
    return config.Find("d_model").Fail("is too small for positions", StatusCode::kUnsupported);
  return LowerTexts(c, config, g, task);
}

// Two convolutions over log-mel bands, and rows for a window of sound.
// Source   Radford et al. 2022.
Status LowerWhisper(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RequireGenerating(config));
  GRAFT_ASSIGN_OR_RETURN(EncoderDecoder c, ReadEncoderDecoder(config));
  GRAFT_ASSIGN_OR_RETURN(c.positions,
                         config.GetIntIn("max_target_positions", 1, int64_t{1} << 20, 448));
  GRAFT_ASSIGN_OR_RETURN(const int64_t bands, config.GetIntIn("num_mel_bins", 1, 1024, 80));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rows,
                         config.GetIntIn("max_source_positions", 1, int64_t{1} << 20, 1500));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  c.norm_first = c.final_norm = true;
  c.key_bias = false;
  c.head = "proj_out.weight";
  const Module encoder(g, "model.encoder");
  ValueId x = g.SourceFeatures("input_features", bands, 2 * rows);
  const auto convolve = [&](const char* name, int64_t channels, int64_t frames, int64_t stride) {
    const WindowShape window{.channels = channels,
                             .height = 1,
                             .width = frames,
                             .kernel_width = 3,
                             .stride_width = stride,
                             .pad_width = 1};
    const std::string weight = encoder.Name(name) + ".weight";
    TensorPart part{.source = weight, .source_rows = c.hidden};
    x = g.Patches(encoder.Name(name) + ".patches", x, window);
    const TensorId kernels =
        g.Kernels(weight, std::move(part), {c.hidden, channels, 3}, c.hidden, window.elements());
    x = g.Linear(encoder.Name(name), x, kernels, g.Vector(encoder.Name(name) + ".bias", c.hidden));
    x = g.Activation(encoder.Name(name) + ".act", x, schema::fb::ActivationKind::Gelu);
  };
  convolve("conv1", bands, 2 * rows, 1);
  convolve("conv2", c.hidden, 2 * rows, 2);
  const ValueId at = g.ConstantRows(encoder.Name("embed_positions"),
                                    g.Table(encoder.Name("embed_positions.weight"), rows, c.hidden),
                                    rows, c.hidden);
  x = g.Add(encoder.Name("with_positions"), x, at);
  DecodeRows(c, g, EncodeRows(c, encoder, x), task);
  task->target->sound = SoundDescription{.mels = bands, .frames = 2 * rows};
  return OkStatus();
}

}  // namespace graft::converter
