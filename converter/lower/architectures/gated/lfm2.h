// SPDX-License-Identifier: Apache-2.0
// What the LFM2 models have in common.
#pragma once

#include "converter/lower/architectures/gated_decoder.h"

namespace graft::converter {

/// An LFM2 but for its MLPs: convolutions instead of attention in most layers.
/// Errors   those of ReadGatedDecoder.
Result<GatedDecoder> ReadLfm2(const JsonValue& config);

}  // namespace graft::converter
