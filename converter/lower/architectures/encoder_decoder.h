// SPDX-License-Identifier: Apache-2.0
// EncoderDecoder: what BART and its kin vary, Whisper among them: where norms are, what positions
// are, and what the encoder takes.
#pragma once

#include <cstdint>
#include <string>

#include "converter/lower/lowering.h"
#include "converter/lower/module.h"

namespace graft::converter {

/// Half of an encoder-decoder.
struct LayerStackSizes {
  int64_t layers = 0;
  int64_t mlp_hidden = 0;
  AttentionShape attention;
};

enum class PositionTable : uint8_t {
  kLearned,          ///< "embed_positions.weight", from `first_position` on
  kSinusoids,        ///< sines, then cosines; the same tensor where it is stored
  kFairseqSinusoids  ///< likewise with other frequencies, never stored, from `first_position` on
};

struct EncoderDecoder {
  int64_t hidden = 0;
  LayerStackSizes encoder, decoder;
  int64_t vocabulary = 0;
  int64_t decoder_vocabulary = 0;
  int64_t positions = 0;
  int64_t first_position = 0;  ///< Row of the position table that the first token takes.
  PositionTable position_table = PositionTable::kLearned;
  float embedding_scale = 1.0f;
  schema::fb::ActivationKind activation{};
  bool norm_first = false;      ///< Norms before each part of a layer, not after.
  bool embedding_norm = false;  ///< "layernorm_embedding".
  bool final_norm = false;      ///< "layer_norm" behind the last layer.
  bool key_bias = true;
  std::string head = "lm_head.weight";  ///< If there is one; else the embedding.
};

/// The members that all of them have. `family` says what config.json leaves out.
/// Errors   kCorrupt, kUnsupported; each names the file and key.
Result<EncoderDecoder> ReadEncoderDecoder(const JsonValue& config);

/// The encoder's layers and final norm on rows of the source.
ValueId EncodeRows(const EncoderDecoder& c, const Module& encoder, ValueId x);

/// The decoder on what the encoder gives, and its logits. `task` becomes text generation.
void DecodeRows(const EncoderDecoder& c, GraphBuilder& graph, ValueId encoded,
                TaskDescription* task);

/// Refuses all but the class that generates text, such as BartForConditionalGeneration.
Status RequireGenerating(const JsonValue& config);

}  // namespace graft::converter
