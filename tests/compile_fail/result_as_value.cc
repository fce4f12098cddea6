// SPDX-License-Identifier: Apache-2.0
// A result is no value before somebody has looked at its status.
#include "schema/verify.h"

graft::Status Check(std::span<const uint8_t> bytes) {
#ifdef MUST_NOT_COMPILE
  const graft::schema::VerifiedModel model = graft::schema::Verify(bytes);
#else
  GRAFT_ASSIGN_OR_RETURN(const graft::schema::VerifiedModel model, graft::schema::Verify(bytes));
#endif
  return graft::schema::VerifyContents(model);
}
