// SPDX-License-Identifier: Apache-2.0
// What sentence-transformers stores beside an encoder: how texts are prepared, and how rows become
// one vector.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

/// What sentence-transformers does to a text, and to a model's rows.
struct SentenceSettings {
  TextPooling pooling;  ///< Without modules.json: the mean, to a length of 1.
  /// Texts are cut to so many tokens, whatever tokenizer.json says; none: to what the model and
  /// tokenizer_config.json allow.
  std::optional<int64_t> max_tokens;
  bool lowercases = false;  ///< Before the tokenizer's own steps.
  std::string prompt;       ///< The default prompt, which goes before each text.
};

/// Reads modules.json and what it names in a model's folder: pooling, sentence_bert_config.json,
/// and the default prompt of config_sentence_transformers.json. Without modules.json nothing of
/// this counts. An adapter may bring files of its own, in `own`, which is empty if none does: with
/// its own modules.json they alone count, without it each takes the place of the base's.
/// Errors   kUnsupported: a module, a pooling or a setting that this version does not know;
///          kCorrupt, kIo. Each names the file and what in it.
Result<SentenceSettings> ReadSentenceSettings(const std::filesystem::path& base,
                                              const std::filesystem::path& own = {});

}  // namespace graft::converter
