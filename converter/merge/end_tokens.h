// SPDX-License-Identifier: Apache-2.0
// The tokens after which generation stops: those of the base, and the one that an adapter's own
// texts end with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "converter/json/json.h"
#include "converter/merge/companions.h"
#include "schema/result.h"

namespace graft::converter {

struct EndTokens {
  std::vector<uint32_t> ids;
  bool has_adapters = false;  ///< One of them is an adapter's, which the base's files do not name.
};

/// eos_token_id of generation_config.json or, where that has none, of `config`; and the eos_token
/// of a tokenizer or template that an adapter brings. config: the root of the base's config.json.
/// Errors   kCorrupt, kIo, naming the file; those of ReadTokenizerFiles.
Result<EndTokens> FindEndTokens(const std::filesystem::path& base, const JsonValue& config,
                                const Companions& companions);

}  // namespace graft::converter
