// SPDX-License-Identifier: Apache-2.0
// Drafts from the text itself: what followed the last tokens where they stood before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::runtime {

/// Appends to *draft the `most` tokens that are likely to come after `tokens`: those behind the
/// longest run of tokens before that is also their end, the latest of several. None if no run of
/// three tokens is. Where the text repeats itself the draft does, too.
/// Cost     a look at each of the last 32,768 tokens.
/// Source   Saxena 2023, "Prompt Lookup Decoding".
void DraftFromRepetition(std::span<const int32_t> tokens, size_t most, std::vector<int32_t>* draft);

}  // namespace graft::runtime
