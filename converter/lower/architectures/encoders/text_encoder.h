// SPDX-License-Identifier: Apache-2.0
// What encoders of texts share: tables of tokens, types and positions, and the heads of their tasks.
#pragma once

#include <cstdint>
#include <string>

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "converter/lower/module.h"
#include "schema/result.h"

namespace graft::converter {

inline constexpr int64_t kMaxPositions = int64_t{1} << 24;
inline constexpr int64_t kMaxTokenTypes = 1 << 16;

struct TextTables {
  int64_t vocabulary = 0;
  int64_t width = 0;
  int64_t token_types = 0;      ///< 0: none.
  int64_t position_rows = 0;    ///< 0: none.
  int64_t first_position = 0;   ///< Row of the position table that a text's first token takes.
  bool reads_positions = true;  ///< Whether the graph has positions for an input.
};

/// vocab_size, type_vocab_size, max_position_embeddings.
Result<TextTables> ReadTextTables(const JsonValue& config, int64_t width);

/// Refuses what makes a decoder of an encoder, and positions that are not absolute.
Status RefuseDecoders(const JsonValue& config);

/// `family`, if the checkpoint's tensors lie below that name, as those of a model for a task do;
/// empty if not, as those of the bare model.
std::string PathOf(const std::string& family, const std::string& first_tensor,
                   const GraphBuilder& graph);

/// word_embeddings + token_type_embeddings + position_embeddings, as far as there are. Makes the
/// graph's inputs.
ValueId EmbedTokens(const TextTables& tables, const Module& embeddings);

/// How a family turns a text's first row into scores.
struct EncoderHeads {
  std::string dense = {};  ///< With `activation`, before the classifier.
  schema::fb::ActivationKind activation{};
  std::string classifier = "classifier";
  std::string pooler = {};  ///< Of the bare model, a dense layer and tanh; empty: it has none.
};

/// The outputs that config.json's class has: vectors of texts, scores of texts or of tokens.
Status OutputHeads(const JsonValue& config, const EncoderHeads& heads, ValueId hidden,
                   GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
