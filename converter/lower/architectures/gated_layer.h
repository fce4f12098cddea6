// SPDX-License-Identifier: Apache-2.0
// One layer of a GatedDecoder.
#pragma once

#include <optional>
#include <string_view>

#include "converter/lower/architectures/gated_decoder.h"

namespace graft::converter {

/// What all layers of a decoder compute with.
struct LayerInputs {
  ValueId positions;
  std::optional<RopeShape> rope{};
  std::optional<RopeShape> rope_in_windows{};
};

/// "module.name" over x, weights times `factor`; x itself if the name is empty.
ValueId Normalize(const GatedDecoder& decoder, const Module& module, std::string_view name,
                  ValueId x, double factor = 1.0);

/// Layer `layer`, whose names begin with `module`, over x.
ValueId AddLayer(const GatedDecoder& decoder, const Module& module, int64_t layer, ValueId x,
                 const LayerInputs& inputs);

}  // namespace graft::converter
