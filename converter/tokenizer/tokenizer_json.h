// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, as Hugging Face tokenizers writes it, compiled to the tables of a .graft file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <flatbuffers/flatbuffers.h>

#include "schema/result.h"

namespace graft::schema::fb {
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::converter {

class JsonValue;
class TokenizerDocument;

/// What a model's other settings make of its tokenizer.
struct TokenizerUse {
  /// Texts are cut where tokenizer.json says so, as Hugging Face's tokenizers does; transformers
  /// leaves it aside unless asked.
  bool keeps_truncation = true;
  /// Texts are cut to so many, whatever tokenizer.json says.
  std::optional<int64_t> max_tokens = std::nullopt;
  bool cuts_start = false;  ///< With max_tokens: at their starts.
  bool lowercases = false;  ///< Before all other steps.
};

/// Reads `model_folder`/tokenizer.json, or the older files in its place, and writes its tables into
/// `builder`; a null offset if the folder has no such file.
/// Must not be called while a table of `builder` is being built.
/// Errors   kIo;
///          kCorrupt: not what the file format says;
///          kUnsupported: a component of a type that graft does not know. The message names the
///          file, the place in it and the type.
Result<flatbuffers::Offset<schema::fb::Tokenizer>> BuildTokenizer(
    flatbuffers::FlatBufferBuilder& builder, const std::string& model_folder,
    const TokenizerUse& use = {});

/// The same from files that were read.
Result<flatbuffers::Offset<schema::fb::Tokenizer>> BuildTokenizer(
    flatbuffers::FlatBufferBuilder& builder, const TokenizerDocument& document,
    const TokenizerUse& use = {});

/// The same from the root of a parsed tokenizer.json.
Result<flatbuffers::Offset<schema::fb::Tokenizer>> BuildTokenizer(
    flatbuffers::FlatBufferBuilder& builder, const JsonValue& root, const TokenizerUse& use = {});

}  // namespace graft::converter
