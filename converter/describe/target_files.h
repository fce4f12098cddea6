// SPDX-License-Identifier: Apache-2.0
// What generation_config.json says of the texts that an encoder-decoder writes: what they start
// with, and what is never in them.
#pragma once

#include <filesystem>

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

/// Reads `folder`/generation_config.json and, for what that leaves out, `config`; and of sound
/// `sounds`/preprocessor_config.json, without which it is Whisper's usual. Beams and penalties
/// are left out: what generates says how tokens are chosen.
/// Errors   kCorrupt, kIo, naming file and key: no token to start with among them.
Status ReadTarget(const std::filesystem::path& folder, const std::filesystem::path& sounds,
                  const JsonValue& config, TargetDescription* target);

/// Adds the languages whose tokens are among a tokenizer's `added_tokens`, of models that translate
/// between many: "__de__" (M2M-100), "deu_Latn" (NLLB), "de_DE" (mBART-50). settings: of
/// tokenizer_config.json, whose src_lang and tgt_lang hold where none is asked for.
Status AddLanguages(const JsonValue& added_tokens, const JsonValue& settings,
                    TargetDescription* target);

}  // namespace graft::converter
