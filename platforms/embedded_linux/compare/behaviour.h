// SPDX-License-Identifier: Apache-2.0
// What can be told of an answer without understanding it: perplexity hides when these break.
#pragma once

#include <string_view>

#include "platforms/embedded_linux/compare/figures.h"

namespace graft_run {

/// prompt   as the model saw it; its end may open the thinking
/// answer   with its special tokens
Behaviour BehaviourOf(std::string_view prompt, std::string_view answer, bool ended);

/// Whether `text`, without a fence of ``` around it, is one JSON object or array (RFC 8259), at
/// most 1,000 levels deep. A lone number or word is no answer that was meant to be JSON.
bool IsJson(std::string_view text);

}  // namespace graft_run
