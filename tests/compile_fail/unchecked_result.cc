// SPDX-License-Identifier: Apache-2.0
// What can fail is checked, also where its value is of no interest.
#include "schema/verify.h"

graft::Status Check(std::span<const uint8_t> bytes) {
#ifdef MUST_NOT_COMPILE
  graft::schema::Verify(bytes);
#else
  GRAFT_RETURN_IF_ERROR(graft::schema::Verify(bytes).status());
#endif
  return graft::OkStatus();
}
