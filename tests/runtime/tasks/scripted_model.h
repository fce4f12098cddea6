// SPDX-License-Identifier: Apache-2.0
// A model that says what a test wants: which token follows which is written down.
#pragma once

#include <map>
#include <string>

#include "tests/support/model_builder.h"

namespace graft::test {

/// A .graft file with the tokenizer of stories260k (or none) whose likeliest token after t is
/// next.at(t), or 0 where `next` has nothing. `context_tokens` and `end_tokens` are the task's.
AlignedBytes ScriptedModel(const std::map<int32_t, int32_t>& next, uint32_t context_tokens,
                           std::vector<uint32_t> end_tokens, bool with_tokenizer = true);

}  // namespace graft::test
