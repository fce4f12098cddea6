// SPDX-License-Identifier: Apache-2.0
// What decoders' configurations have in common.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "converter/lower/numbers.h"
#include "converter/lower/shapes.h"

namespace graft::converter {

struct DecoderSizes {
  int64_t hidden = 0;
  int64_t mlp_hidden = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
};

/// hidden_size, intermediate_size, num_hidden_layers, vocab_size. If `mlp_key` is not empty, the MLP's
/// width is called so, and is 4 times the model's where the file does not say.
Result<DecoderSizes> ReadDecoderSizes(const JsonValue& config, std::string_view mlp_key = {});

/// num_attention_heads, num_key_value_heads, head_dim. Where the file has no head_dim it is
/// `usual_head_dim`, or if that is 0 the heads' share of `hidden`; where it has no
/// num_key_value_heads these are `usual_kv_heads`, or if that is 0 or the file says null as many as
/// there are heads. scale is 1 / sqrt(head_dim).
Result<AttentionShape> ReadAttentionShape(const JsonValue& config, int64_t hidden,
                                          int64_t usual_head_dim = 0, int64_t usual_kv_heads = 0);

/// Which layers slide, from layer_types; nothing if the file does not list them.
/// Errors   kUnsupported: a type that is neither full_attention nor sliding_attention.
Result<std::optional<std::vector<bool>>> ReadSlidingLayers(const JsonValue& config, int64_t layers);

/// Which layers are `wanted`, from a list that says `wanted` or `other` of each; nothing if the file
/// has none.
/// Errors   kUnsupported: another type.
Result<std::optional<std::vector<bool>>> ReadLayersOfType(const JsonValue& config,
                                                          std::string_view key, int64_t layers,
                                                          std::string_view wanted,
                                                          std::string_view other);

/// The window of each layer, 0 where there is none: sliding_window where layer_types says
/// sliding_attention. Nothing if the file has no layer_types.
Result<std::optional<std::vector<int64_t>>> ReadListedWindows(const JsonValue& config,
                                                              int64_t layers, int64_t window);

/// Whether the file has the key at all; null is a value, too.
bool Mentions(const JsonValue& config, std::string_view key);

/// pad_token_id; -1 if it is null or outside the vocabulary, `usual` if the file does not mention
/// it.
Result<int64_t> ReadPadToken(const JsonValue& config, int64_t vocabulary, int64_t usual);

/// A soft cap: 0 if the file says null, `usual` if it does not mention the key.
Result<float> ReadCap(const JsonValue& config, std::string_view key, double usual);

/// Fills the task of a decoder that generates text; `context_key` names the trained context.
Status ReadTextTask(const JsonValue& config, std::string_view context_key, TaskDescription* task);

/// Refuses settings that change what a decoder computes, unless they are in `known` (this model's
/// lowering reads them) or have the value that changes nothing.
/// Errors   kUnsupported, naming the key.
Status RefuseOtherSettings(const JsonValue& config, std::initializer_list<std::string_view> known);

}  // namespace graft::converter
