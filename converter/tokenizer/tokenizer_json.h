// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, as Hugging Face tokenizers writes it, compiled to the tables of a .graft file.
#pragma once

#include <string>

#include <flatbuffers/flatbuffers.h>

#include "schema/result.h"

namespace graft::schema::fb {
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::converter {

class JsonValue;

/// Reads `model_folder`/tokenizer.json, or the older files in its place, and writes its tables into
/// `builder`; a null offset if the folder has no such file. keeps_truncation: texts are cut where
/// the file says so, as Hugging Face's tokenizers does; transformers leaves it aside unless asked.
/// Must not be called while a table of `builder` is being built.
/// Errors   kIo;
///          kCorrupt: not what the file format says;
///          kUnsupported: a component of a type that graft does not know. The message names the
///          file, the place in it and the type.
Result<flatbuffers::Offset<schema::fb::Tokenizer>> BuildTokenizer(
    flatbuffers::FlatBufferBuilder& builder, const std::string& model_folder,
    bool keeps_truncation = true);

/// The same from the root of a parsed tokenizer.json.
Result<flatbuffers::Offset<schema::fb::Tokenizer>> BuildTokenizer(
    flatbuffers::FlatBufferBuilder& builder, const JsonValue& root, bool keeps_truncation = true);

}  // namespace graft::converter
