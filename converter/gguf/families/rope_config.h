// SPDX-License-Identifier: Apache-2.0
// Rotary positions: from the settings and tensors of a GGUF file to those of config.json.
#pragma once

#include <cstdint>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "converter/gguf/families/gguf_parts.h"
#include "converter/gguf/families/gguf_settings.h"
#include "schema/status.h"

namespace graft::converter {

/// Sets rope_theta, and rope_scaling where the model has one, by the file's settings or by its
/// tensors of factors. head_dim: how many elements a head has.
/// Errors   kUnsupported: factors that are those of no kind of scaling;
///          kCorrupt: factors that do not fit the heads.
Status DescribeRope(const GgufParts& parts, const GgufSettings& settings, int64_t head_dim,
                    nlohmann::ordered_json* config);

/// Whether a tensor is one of those factors, and no weight.
bool IsRopeTensor(std::string_view name);

}  // namespace graft::converter
