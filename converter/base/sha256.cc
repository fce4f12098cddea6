// SPDX-License-Identifier: Apache-2.0
#include "converter/base/sha256.h"

#include <cstdio>

#include "schema/trust/sha256.h"

namespace graft::converter {

std::string Sha256Text(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : schema::Sha256Of(bytes)) {
    char hex[3];
    std::snprintf(hex, sizeof(hex), "%02x", byte);
    text += hex;
  }
  return text;
}

}  // namespace graft::converter
