// SPDX-License-Identifier: Apache-2.0
// JSON on one line: an object whose values are texts and numbers.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft_run {

/// A value: what a text says, or how a number, true, false or null is written.
struct JsonScalar {
  std::string text;
  bool is_text = false;
};

/// Appends the members of the object that `line` is.
/// Returns  an empty string, or what is wrong.
std::string ReadJsonLine(std::string_view line,
                         std::vector<std::pair<std::string, JsonScalar>>* members);

}  // namespace graft_run
