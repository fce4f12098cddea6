// SPDX-License-Identifier: Apache-2.0
// What is resident of this process, page by page.
#pragma once

#include <cstdint>

namespace graft::test {

/// False where the figures are of something else: an emulator's memory, a sanitizer's.
bool ResidentBytesAreKnown();
/// 0 where the system does not say.
uint64_t ResidentBytes();

}  // namespace graft::test
