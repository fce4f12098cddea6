// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <string>

#include "converter/commands/commands.h"

namespace graft::converter {

int ReportFailure(const Status& status) {
  // One line, whatever a name or a value from a file holds.
  std::string message(status.message());
  std::replace_if(
      message.begin(), message.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
  if (message.empty()) message = StatusCodeName(status.code());
  std::fprintf(stderr, "graft-convert: %s\n", message.c_str());
  if (status.code() == StatusCode::kCancelled) return kExitInterrupted;
  return kExitFailure;
}

}  // namespace graft::converter
