// SPDX-License-Identifier: Apache-2.0
// Settings of config.json that one family has and others have not, or call otherwise.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "converter/gguf/families/families.h"
#include "converter/gguf/families/gguf_parts.h"
#include "converter/gguf/families/gguf_settings.h"
#include "schema/result.h"

namespace graft::converter {

/// Adds to `config`, which has what gated decoders share, what its family has besides; nothing for
/// families that have nothing.
/// Errors   those of the settings: kNotFound, kCorrupt, kUnsupported.
Status AddFamilySettings(const GgufParts& parts, const GgufSettings& settings,
                         const GgufFamily& family, nlohmann::ordered_json* config);

/// Whether the family has mixtures of experts.
bool HasExperts(const GgufFamily& family);
/// Whether the family clips queries, keys and values where its file says so.
bool ClipsAttention(const GgufFamily& family);

}  // namespace graft::converter
