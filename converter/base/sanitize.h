// SPDX-License-Identifier: Apache-2.0
// Sanitize: untrusted text made fit for a message.
#pragma once

#include <string>
#include <string_view>

namespace graft::converter {

/// The first 200 bytes of `text`, control characters and all beyond ASCII as '?': a terminal must
/// not obey what a file's author put into a name.
inline std::string Sanitize(std::string_view text) {
  std::string shown(text.substr(0, 200));
  for (char& c : shown) {
    if (c < ' ' || c > '~') c = '?';
  }
  return shown;
}

}  // namespace graft::converter
