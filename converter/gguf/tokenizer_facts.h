// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says of its tokenizer, under the keys "tokenizer.ggml.".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/formats/gguf/gguf_header.h"
#include "schema/result.h"

namespace graft::converter {

/// Kinds of tokens, as files number them.
enum class GgufTokenKind : uint8_t {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,
  kUnused,
  kByte,
};

struct GgufTokenizer {
  std::string_view model;  ///< "gpt2", "llama", "bert" or "t5".
  std::string_view pre;    ///< Of "gpt2": how texts are cut before their bytes are joined.
  std::string_view architecture;
  std::vector<std::string_view> tokens;
  std::vector<GgufTokenKind> kinds;
  bool adds_begin = false;
  bool adds_end = false;
  /// Special tokens by the name that tokenizer_config.json has for them.
  struct Named {
    const char* name;  ///< "bos_token"
    int64_t id;
  };
  std::vector<Named> named;

  /// -1 if there is none of that name.
  int64_t Find(std::string_view name) const;
};

/// None if the file has no tokenizer. The views are those of `header`.
/// Errors   kCorrupt: lists that do not fit one another, ids beyond them;
///          kUnsupported: a model that is not known.
Result<std::optional<GgufTokenizer>> ReadGgufTokenizer(const GgufHeader& header);

}  // namespace graft::converter
