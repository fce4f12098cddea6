// SPDX-License-Identifier: Apache-2.0
// The components of tokenizer.json around its model: what is done to text before the merges and to
// tokens after them, lowered to the few kinds of step that a .graft file knows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct DecoderStep;
struct NormalizerStep;
struct PreTokenizerStep;
}  // namespace graft::schema::fb

namespace graft::converter {

template <typename T>
using StepList = std::vector<flatbuffers::Offset<T>>;

struct PreTokenizerSteps {
  StepList<schema::fb::PreTokenizerStep> steps;
  bool is_byte_level = false;  ///< the vocabulary spells bytes as schema::ByteLevelSpelling does
};

struct DecoderSteps {
  StepList<schema::fb::DecoderStep> steps;
  bool is_byte_level = false;
  bool is_fused = false;  ///< what follows would see all tokens as one
  bool is_plain = true;   ///< there are no other steps than these three
  bool falls_back = false;
  bool fuses = false;
  std::vector<std::string> replaced;  ///< texts, not regular expressions
};

/// Each takes the member of that name, which may be null, and fails with kCorrupt or kUnsupported,
/// naming file, path and type.
Result<StepList<schema::fb::NormalizerStep>> LowerNormalizer(
    flatbuffers::FlatBufferBuilder& builder, const JsonValue& normalizer);
Result<PreTokenizerSteps> LowerPreTokenizer(flatbuffers::FlatBufferBuilder& builder,
                                            const JsonValue& pre_tokenizer);
Result<DecoderSteps> LowerDecoder(flatbuffers::FlatBufferBuilder& builder,
                                  const JsonValue& decoder);
/// Whether plain steps before a ByteLevel decoder change none of these tokens, so that they were left
/// out rightly: transformers puts some there when it reads GGUF files.
Status CheckLeftOut(const DecoderSteps& steps, std::span<const std::string_view> tokens,
                    const JsonValue& decoder);

}  // namespace graft::converter
