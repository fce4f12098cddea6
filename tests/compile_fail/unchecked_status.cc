// SPDX-License-Identifier: Apache-2.0
// What can fail is checked.
#include "schema/verify.h"

graft::Status Check(const graft::schema::VerifiedModel& model) {
#ifdef MUST_NOT_COMPILE
  graft::schema::VerifyContents(model);
#else
  GRAFT_RETURN_IF_ERROR(graft::schema::VerifyContents(model));
#endif
  return graft::OkStatus();
}
