// SPDX-License-Identifier: Apache-2.0
// Hashes as people compare them.
#pragma once

#include <array>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "schema/container.h"

namespace graft::converter {

/// 32 hexadecimal digits, high half first, as xxhsum prints XXH3-128.
inline std::string HashText(const schema::Hash128& hash) {
  std::array<char, 33> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
  return text.data();
}

}  // namespace graft::converter
