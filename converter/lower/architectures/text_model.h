// SPDX-License-Identifier: Apache-2.0
// The text model of a checkpoint that holds parts that see or hear beside it.
#pragma once

#include <optional>

#include "converter/json/json.h"
#include "converter/lower/graph_builder.h"
#include "schema/result.h"

namespace graft::converter {

struct TextModel {
  JsonValue config;          ///< What its lowering reads.
  std::optional<bool> tied;  ///< What the whole model says of its head; none: it has no say.
};

/// The model of `config` itself, or its text_config, if its model_type is one of a model whose other
/// parts only add to what the text model reads. Tells `graph` what its tensors are called.
/// Errors   kUnsupported: a text_config of another model_type, or another head.
Result<TextModel> FindTextModel(const JsonValue& config, GraphBuilder& graph);

}  // namespace graft::converter
