// SPDX-License-Identifier: Apache-2.0
// What strings of a `format` look like.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace graft::runtime {

/// The regular expression of whole strings of format `name`. Empty: known, and not supported; none:
/// the standard does not name it, so it says nothing.
std::optional<std::string> FormatPattern(std::string_view name);

}  // namespace graft::runtime
