// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a model's folder, whichever files it came in.
#pragma once

#include <filesystem>
#include <memory>

#include "schema/result.h"

namespace graft::converter {

class JsonDocument;

/// tokenizer.json; or the same made of vocab.txt (BERT), vocab.json and merges.txt (GPT-2, RoBERTa,
/// Qwen2) or tokenizer.model (Llama, T5), whose class tokenizer_config.json names. Null: none of
/// them.
/// Errors   kIo, kCorrupt, kUnsupported: a class that graft does not know how to rewrite.
Result<std::unique_ptr<JsonDocument>> ReadTokenizerFiles(const std::filesystem::path& folder);

}  // namespace graft::converter
