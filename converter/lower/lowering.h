// SPDX-License-Identifier: Apache-2.0
// What a lowering is: a function that reads a model's configuration and writes the model down as
// ops.
#pragma once

#include <cstdint>
#include <string>

#include "converter/graph_builder.h"
#include "converter/json.h"
#include "schema/result.h"

namespace graft::converter {

/// What the graph is for, as far as the configuration says.
struct TaskDescription {
  std::string architecture;  ///< For people, such as "llama".
  bool generates_text = false;
  int64_t context_tokens = 0;  ///< Positions the model was trained for; 0: unbounded.
};

/// Describes the model of `config` in `graph` and fills `task`.
/// Errors   kUnsupported, kCorrupt: a configuration it cannot follow, naming file, key and value.
/// Missing or misshapen
///          tensors are faults of `graph`, which its Finish returns.
using LowerFunction = Status (*)(const JsonValue& config, GraphBuilder& graph,
                                 TaskDescription* task);

/// The lowering for a model_type of config.json.
/// Errors   kUnsupported, naming the value and what there is.
Result<LowerFunction> FindLowering(const JsonValue& config);

}  // namespace graft::converter
