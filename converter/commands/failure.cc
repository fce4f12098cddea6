// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "converter/commands/commands.h"

namespace graft::converter {

int ReportFailure(const Status& status) {
  // One line, whatever a name or a value from a file holds.
  std::string message(status.message());
  MakeShowable(message.data(), message.size());
  if (message.empty()) message = StatusCodeName(status.code());
  std::fprintf(stderr, "graft-convert: %s\n", message.c_str());
  if (status.code() == StatusCode::kCancelled) return kExitInterrupted;
  return kExitFailure;
}

}  // namespace graft::converter
