// SPDX-License-Identifier: Apache-2.0
// How much is tried of what says the same on every CPU, where a CPU is emulated or threads are watched.
#pragma once

#include <cstddef>

namespace graft::test {

#ifdef GRAFT_TEST_SOME
inline constexpr bool kSomeOfAll = true;
#else
inline constexpr bool kSomeOfAll = false;
#endif

/// From one try to the next: 1, or `step` where some have to do. A prime, so that no pattern hides.
constexpr size_t StepOfAll(size_t step) { return kSomeOfAll ? step : 1; }

}  // namespace graft::test
