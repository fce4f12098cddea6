// SPDX-License-Identifier: Apache-2.0
// The post-processor of tokenizer.json: what goes around one text, or around and between two.
#pragma once

#include <cstdint>
#include <vector>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::converter {

struct PostProcessor {
  /// A token, or all tokens of the first text (id -1) or the second (-2).
  struct Part {
    int32_t id = 0;
    uint32_t type_id = 0;
  };
  std::vector<uint32_t> prefix;  ///< put before one text
  std::vector<uint32_t> suffix;
  std::vector<Part> single;  ///< the same with types; empty if all of them are 0
  std::vector<Part> pair;    ///< empty: the two texts as they are, of types 0 and 1
};

/// Takes the member `post_processor`, which may be null. tokens: how many there are.
/// Errors   kCorrupt: not what the format says, ids that no token has;
///          kUnsupported: a type or a template that graft does not know.
Result<PostProcessor> ReadPostProcessor(const JsonValue& post_processor, size_t tokens);

}  // namespace graft::converter
