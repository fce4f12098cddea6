// SPDX-License-Identifier: Apache-2.0
// There is no VerifiedModel without a model.
#include <optional>

#include "schema/verify.h"

struct Holder {
#ifdef MUST_NOT_COMPILE
  graft::schema::VerifiedModel model{};
#else
  std::optional<graft::schema::VerifiedModel> model{};
#endif
};
