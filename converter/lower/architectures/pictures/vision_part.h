// SPDX-License-Identifier: Apache-2.0
// The parts of text models that see: which models have one that is converted, and what these share.
#pragma once

#include <optional>
#include <string_view>

#include "converter/json/json.h"
#include "converter/lower/graph_builder.h"
#include "converter/lower/lowering.h"
#include "converter/lower/module.h"
#include "schema/result.h"

namespace graft::converter {

/// The vision part of the model of `config`, if it is of a family whose part is lowered and the
/// checkpoint has it; none of other models, which convert as their text. Tells `graph` what its
/// tensors are called.
/// Errors   kCorrupt: a model_type that is no text.
Result<std::optional<VisionPart>> FindVisionPart(const JsonValue& config, GraphBuilder& graph);

/// Each is VisionPart::lower of its family.
Result<ValueId> LowerGemma3Images(const JsonValue& config, GraphBuilder& graph,
                                  PicturesDescription* pictures);
Result<ValueId> LowerSmolVlmImages(const JsonValue& config, GraphBuilder& graph,
                                   PicturesDescription* pictures);
Result<ValueId> LowerMistral3Images(const JsonValue& config, GraphBuilder& graph,
                                    PicturesDescription* pictures);

Result<ValueId> LowerLfm2VlImages(const JsonValue& config, GraphBuilder& graph,
                                  PicturesDescription* pictures);
Result<ValueId> LowerQwen35Images(const JsonValue& config, GraphBuilder& graph,
                                  PicturesDescription* pictures);

/// Reads sides of images and patches, and says so in `pictures`; the images become as many rows as
/// blocks of merge x merge patches fit, which all patches must be in.
Status ReadImageSides(const JsonValue& vision, int64_t image_side, int64_t patch_side,
                      int64_t merge, PicturesDescription* pictures);

/// The projection "name" of an image's patches, which become an input: a row for each.
ValueId ProjectPatches(const Module& module, std::string_view name, int64_t width, bool bias,
                       const PicturesDescription& pictures);

}  // namespace graft::converter
