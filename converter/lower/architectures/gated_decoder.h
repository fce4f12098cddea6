// SPDX-License-Identifier: Apache-2.0
// The design that Llama made common: pre-norm layers of rotary, grouped-query attention and a gated
// MLP, with the variations its descendants make.
#pragma once

#include <cstdint>
#include <vector>

#include "converter/lower/decoder_config.h"
#include "converter/lower/lowering.h"
#include "converter/lower/rope.h"

namespace graft::schema::fb {
enum class ActivationKind : uint8_t;
}

namespace graft::converter {

struct GatedDecoder {
  DecoderSizes sizes;
  AttentionShape attention;
  RopeFrequencies rope;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;
  int64_t usual_padding = -1;    ///< As LanguageHead has it.
  std::vector<int64_t> windows;  ///< Of each layer; 0: none.

  // Variations.
  bool normalizes_heads = false;  ///< RMSNorm of each query and key head, before rotating.
  bool fused = false;             ///< qkv_proj and gate_up_proj hold all their layers' rows.
  std::vector<bool> rotates;      ///< Each layer; empty: all do.
  double embedding_factor = 1.0;
  double residual_factor = 1.0;  ///< Of what each branch adds.
  double logits_factor = 1.0;
};

/// What some of them have otherwise where a file does not say.
struct GatedDefaults {
  bool tied = false;
  int64_t head_dim = 0;  ///< As ReadAttentionShape has it.
  RopeDefaults rope{};
  int64_t padding = -1;  ///< As LanguageHead has it.
};

/// The settings that all of them spell alike.
Result<GatedDecoder> ReadGatedDecoder(const JsonValue& config, const GatedDefaults& defaults = {});

/// Windows as Qwen files and their like give them: where use_sliding_window is true, by layer_types
/// or, in older files, from layer max_window_layers on.
Status ReadSwitchedWindows(const JsonValue& config, GatedDecoder* decoder);

/// Describes the model and fills `task`.
Status LowerGatedDecoder(const GatedDecoder& decoder, const JsonValue& config, GraphBuilder& graph,
                         TaskDescription* task);

}  // namespace graft::converter
