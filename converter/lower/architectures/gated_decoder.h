// SPDX-License-Identifier: Apache-2.0
// The design that most decoders share: layers of attention over a cache and an MLP, with norms and
// residuals around them. Llama's is what the members are by default; each family says what it has
// otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/lower/architectures/experts.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/lowering.h"
#include "converter/lower/module.h"
#include "converter/lower/rope.h"

namespace graft::schema::fb {
enum class ActivationKind : uint8_t;
}

namespace graft::converter {

/// How rows are normalized.
struct NormDesign {
  bool centers = false;    ///< LayerNorm; else RMSNorm.
  bool bias = false;       ///< Of a LayerNorm.
  bool has_weight = true;  ///< Else it is 1.
  double offset = 0.0;     ///< A stored weight w stands for w + offset.
};

/// Names of a layer's norms, and of the one behind all layers. Empty: there is none.
struct NormNames {
  std::string_view before_attention = "input_layernorm";
  std::string_view after_attention{};
  std::string_view before_mlp = "post_attention_layernorm";
  std::string_view after_mlp{};
  std::string_view last = "norm";
};

/// How query and key heads are normalized.
struct HeadNorms {
  enum class Weights : uint8_t {
    kNone,     ///< They are not.
    kShared,   ///< [head_dim]: each head by itself, all by the same weights.
    kOwn,      ///< [heads, head_dim]: each head by itself.
    kModules,  ///< The same as a list of norms, "name.norms.3.weight".
    kTogether  ///< [heads * head_dim]: all heads together.
  };
  Weights weights = Weights::kNone;
  NormDesign design{};
  std::string_view query = "q_norm";
  std::string_view key = "k_norm";
  bool after_rope = false;
};

/// Queries, keys and values whose rows lie in one matrix.
struct FusedProjection {
  std::string_view name = "qkv_proj";
  RowRuns query{}, key{}, value{};
};

/// One after the other: all queries, all keys, all values.
FusedProjection ByParts(std::string_view name, const AttentionShape& shape);
/// For each key head: the queries that share it, the key, the value.
FusedProjection ByHeads(std::string_view name, const AttentionShape& shape);

struct MlpDesign {
  bool gated = true;         ///< down(activation(gate) * up); else down(activation(up)).
  std::string_view fused{};  ///< Name of a matrix with the rows of gate, then those of up.
  std::string_view gate = "gate_proj";
  std::string_view up = "up_proj";
  std::string_view down = "down_proj";
  std::string_view norm{};   ///< Of what goes into down.
  double gate_factor = 1.0;  ///< Of what gate and down give.
  double down_factor = 1.0;
  bool learned_activation = false;  ///< xIELU, whose numbers lie in act_fn.
};

/// What a layer has besides attention, or instead of it.
struct Mixer {
  /// What it makes of `x`; `layer` is the layer's module.
  std::function<ValueId(const Module& layer, ValueId x)> mix;
  std::vector<bool> instead;  ///< Each layer: it has no attention. Empty: all have both.
};

/// Where names differ from those of Llama.
struct DecoderNames {
  std::string_view model = "model";
  std::string_view embedding = "embed_tokens";
  std::string_view layers = "layers";
  std::string_view attention = "self_attn";
  std::string_view attention_output = "o_proj";
  std::string_view mlp = "mlp";  ///< Empty: its matrices are the layer's own.
  std::string_view head = "lm_head";
  std::string_view context_key = "max_position_embeddings";
};

struct GatedDecoder {
  DecoderSizes sizes;
  AttentionShape attention;
  std::optional<RopeFrequencies> rope;             ///< None: positions are told otherwise.
  std::optional<RopeFrequencies> rope_in_windows;  ///< Of layers with a window; none: the same.
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;
  bool head_bias = false;
  int64_t usual_padding = -1;    ///< As LanguageHead has it.
  std::vector<int64_t> windows;  ///< Of each layer; 0: none.

  // Variations.
  std::optional<ExpertsDesign> experts;  ///< In place of the MLP, on some layers or all.
  DecoderNames names;
  NormNames norm_names;
  NormDesign norm;
  HeadNorms head_norms;
  std::optional<FusedProjection> fused;
  MlpDesign mlp;
  std::vector<bool> rotates;  ///< Each layer; empty: all do.
  bool interleaved = false;   ///< Neighbours turn together; else halves do.
  bool parallel = false;      ///< The MLP reads the layer's input; without a norm of its own, the
                              ///< attention's normed one.
  bool adds_normed = false;   ///< What branches are added to is their normed input.
  double query_growth = 0.0;  ///< As schema/model.fbs's Rope has it.
  int64_t query_growth_positions = 0;
  std::optional<Mixer> mixer;
  bool gated_attention = false;       ///< q_proj gives each head a gate of what it attends to, too.
  bool differential = false;          ///< One attention is subtracted from another.
  std::string_view attention_norm{};  ///< Of what attention gives.
  std::string_view
      sinks{};        ///< Name of a number for each head, which attention may give weight to.
  double clip = 0.0;  ///< Queries, keys and values are clamped to it; 0: they are not.
  double embedding_factor = 1.0;
  double residual_factor = 1.0;         ///< Of what each branch adds.
  double attention_input_factor = 1.0;  ///< Of what attention reads, the keys, what it adds.
  double key_factor = 1.0;
  double attention_factor = 1.0;
  double logits_factor = 1.0;
  float logits_cap = 0.0f;
  std::vector<float> alibi_slopes;  ///< Of each head; empty: no ALiBi.
  double alibi_scale = 1.0;
  bool alibi_rounded = false;
  std::string_view embedding_norm{};
  /// What is added to each row of the embedding for its position, if that is told so.
  std::function<TensorId(const Module& model)> position_table;

  /// The settings of attention in a layer.
  AttentionShape AttentionOf(int64_t layer) const;
};

/// What some of them have otherwise where a file does not say.
struct GatedDefaults {
  bool tied = false;
  int64_t head_dim = 0;        ///< As ReadAttentionShape has it.
  int64_t kv_heads = 0;        ///< 0: as many as there are heads.
  std::string_view mlp_key{};  ///< Of the MLP's width, which then is usually 4 times the model's.
  RopeDefaults rope{};
  int64_t padding = -1;  ///< As LanguageHead has it.
  std::string_view epsilon_key = "rms_norm_eps";
  double epsilon = 1e-6;
  std::string_view activation_key = "hidden_act";
  std::string_view activation{};  ///< Empty: the file must say.
  bool reads_rope = true;         ///< Else the family does.
};

/// The settings that all of them spell alike.
Result<GatedDecoder> ReadGatedDecoder(const JsonValue& config, const GatedDefaults& defaults = {});

/// Heads of which none share a key: their number is called `key`.
/// Requires the decoder's sizes.
Status ReadEqualHeads(const JsonValue& config, std::string_view key, GatedDecoder* decoder);

/// Windows as Qwen files and their like give them: where use_sliding_window is true, by layer_types
/// or, in older files, from layer max_window_layers on.
Status ReadSwitchedWindows(const JsonValue& config, GatedDecoder* decoder);

/// sliding_window where layer_types says so; without layer_types on all layers but every
/// `interval`-th, or on all if it is 0. `usual`: the window of a file without the key; 0: none.
Status ReadWindows(const JsonValue& config, int64_t interval, int64_t usual, GatedDecoder* decoder);

/// Describes the model and fills `task`.
Status LowerGatedDecoder(const GatedDecoder& decoder, const JsonValue& config, GraphBuilder& graph,
                         TaskDescription* task);

}  // namespace graft::converter
