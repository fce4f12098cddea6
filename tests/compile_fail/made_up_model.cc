// SPDX-License-Identifier: Apache-2.0
// Only schema::Verify makes a VerifiedModel.
#include "schema/verify.h"

graft::Result<graft::schema::VerifiedModel> Model(std::span<const uint8_t> bytes) {
#ifdef MUST_NOT_COMPILE
  return graft::schema::VerifiedModel(nullptr, bytes, graft::schema::GraphFacts());
#else
  return graft::schema::Verify(bytes);
#endif
}
