// SPDX-License-Identifier: Apache-2.0
#include "runtime/draft/repeated_text.h"

#include <algorithm>

namespace graft::runtime {
namespace {

constexpr size_t kShortestRun = 3;
constexpr size_t kLongestRun = 32;  // a longer one says no more
constexpr size_t kLookedAt = 32768;

}  // namespace

void DraftFromRepetition(std::span<const int32_t> tokens, size_t most,
                         std::vector<int32_t>* draft) {
  if (tokens.size() > kLookedAt) tokens = tokens.last(kLookedAt);
  const size_t count = tokens.size();
  size_t longest = kShortestRun - 1;
  size_t behind = 0;                                               // the longest run
  for (size_t end = count; end-- > 1 && longest < kLongestRun;) {  // of a run, which is not the end
    if (tokens[end - 1] != tokens[count - 1]) continue;
    size_t length = 1;
    const size_t limit = std::min(end, kLongestRun);
    while (length < limit && tokens[end - 1 - length] == tokens[count - 1 - length]) ++length;
    if (length <= longest) continue;
    longest = length;
    behind = end;
  }
  if (behind == 0) return;
  const size_t first = draft->size();
  for (size_t i = 0; i < most; ++i) {
    const size_t at = behind + i;
    draft->push_back(at < count ? tokens[at] : (*draft)[first + at - count]);
  }
}

}  // namespace graft::runtime
