// SPDX-License-Identifier: Apache-2.0
// The ways to cut texts that GGUF files name, as tokenizer.json has them.
#pragma once

#include <string_view>

namespace graft::converter {

/// Members of a tokenizer.json.
struct PreTokenizer {
  const char* normalizer;     ///< JSON.
  const char* pre_tokenizer;  ///< JSON.
  bool ignore_merges;         ///< Whole pieces are looked up before their bytes are joined.
};

/// By "tokenizer.ggml.pre", or where that is empty by the architecture. Null: not known.
const PreTokenizer* FindPreTokenizer(std::string_view name, std::string_view architecture);

}  // namespace graft::converter
