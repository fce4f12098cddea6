// SPDX-License-Identifier: Apache-2.0
// Whether an emulator or a sanitizer makes everything many times slower than it is.
#pragma once

namespace graft::test {

#if defined(GRAFT_TEST_EMULATED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kIsSlow = true;
#else
inline constexpr bool kIsSlow = false;
#endif

}  // namespace graft::test
