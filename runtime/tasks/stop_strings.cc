// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/stop_strings.h"

#include <algorithm>
#include <utility>

namespace graft::runtime {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  std::erase_if(strings_, [](const std::string& string) { return string.empty(); });
}

bool StopStrings::Append(std::string_view text, std::string* out) {
  if (has_stopped_) return true;
  if (strings_.empty()) {
    out->append(text);
    return false;
  }
  held_ += text;
  const std::string_view held = held_;
  for (size_t end = examined_ + 1; end <= held.size(); ++end) {
    size_t longest = 0;
    for (const std::string& string : strings_) {
      if (held.substr(0, end).ends_with(string)) longest = std::max(longest, string.size());
    }
    if (longest > 0) {
      out->append(held.substr(0, end - longest));
      held_.clear();
      has_stopped_ = true;
      return true;
    }
  }
  size_t keep = 0;
  for (const std::string& string : strings_) {
    for (size_t length = std::min(held.size(), string.size() - 1); length > keep; --length) {
      if (held.ends_with(std::string_view(string).substr(0, length))) {
        keep = length;
        break;
      }
    }
  }
  out->append(held.substr(0, held.size() - keep));
  held_.erase(0, held_.size() - keep);
  examined_ = held_.size();
  return false;
}

void StopStrings::Finish(std::string* out) {
  out->append(held_);
  held_.clear();
  examined_ = 0;
}

}  // namespace graft::runtime
