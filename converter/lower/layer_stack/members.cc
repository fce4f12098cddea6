// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/layer_stack/members.h"

#include <algorithm>

namespace graft::converter {

std::string Listed(const std::vector<std::string_view>& names) {
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

Status CheckMembers(const JsonValue& object, const std::vector<std::string_view>& known) {
  for (size_t i = 0; i < object.size(); ++i) {
    if (std::find(known.begin(), known.end(), object.key(i)) != known.end()) continue;
    return object.at(i).Fail("is not a member that is known here; these are: " + Listed(known));
  }
  return OkStatus();
}

}  // namespace graft::converter
