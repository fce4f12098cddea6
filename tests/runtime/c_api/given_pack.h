// SPDX-License-Identifier: Apache-2.0
// A pack in memory, as graft.h takes it.
#pragma once

#include <cstdint>
#include <vector>

#include <graft/graft.h>

namespace graft::test {

inline graft_pack Given(const std::vector<uint8_t>& pack) {
  graft_pack given = GRAFT_PACK_INIT;
  given.data = pack.data();
  given.size = pack.size();
  return given;
}

}  // namespace graft::test
