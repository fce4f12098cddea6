// SPDX-License-Identifier: Apache-2.0
// The part of graft.h about versions and statuses.
#include <cstdint>

#include <graft/graft.h>
#include "schema/status.h"

using graft::StatusCode;

#define GRAFT_SAME_CODE(c_name, cc_name) \
  static_assert(GRAFT_##c_name == static_cast<int32_t>(StatusCode::cc_name))
GRAFT_SAME_CODE(OK, kOk);
GRAFT_SAME_CODE(INVALID_ARGUMENT, kInvalidArgument);
GRAFT_SAME_CODE(OUT_OF_RANGE, kOutOfRange);
GRAFT_SAME_CODE(FAILED_PRECONDITION, kFailedPrecondition);
GRAFT_SAME_CODE(UNSUPPORTED, kUnsupported);
GRAFT_SAME_CODE(CORRUPT, kCorrupt);
GRAFT_SAME_CODE(UNSUPPORTED_VERSION, kUnsupportedVersion);
GRAFT_SAME_CODE(MISMATCH, kMismatch);
GRAFT_SAME_CODE(NOT_FOUND, kNotFound);
GRAFT_SAME_CODE(IO, kIo);
GRAFT_SAME_CODE(OUT_OF_MEMORY, kOutOfMemory);
GRAFT_SAME_CODE(CANCELLED, kCancelled);
GRAFT_SAME_CODE(INTERNAL, kInternal);
#undef GRAFT_SAME_CODE

#define GRAFT_STRINGIZE_INNER(x) #x
#define GRAFT_STRINGIZE(x) GRAFT_STRINGIZE_INNER(x)

GRAFT_API const char* graft_version(void) {
  return GRAFT_STRINGIZE(GRAFT_VERSION_MAJOR) "." GRAFT_STRINGIZE(
      GRAFT_VERSION_MINOR) "." GRAFT_STRINGIZE(GRAFT_VERSION_PATCH);
}

GRAFT_API int32_t graft_version_number(void) { return GRAFT_VERSION_NUMBER; }

GRAFT_API const char* graft_status_name(graft_status status) {
  return graft::StatusCodeName(static_cast<StatusCode>(status));
}
