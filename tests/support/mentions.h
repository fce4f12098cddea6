// SPDX-License-Identifier: Apache-2.0
// CheckMentions: what a message or a file has to say.
#pragma once

#include <string>
#include <string_view>

#include "doctest/doctest.h"

namespace graft::converter {

/// Checks that `part` stands in `text`, which is shown if it does not.
inline void CheckMentions(const std::string& text, std::string_view part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

}  // namespace graft::converter
