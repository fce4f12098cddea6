// SPDX-License-Identifier: Apache-2.0
// StopStrings: passes text on until one of some strings appears in it, wherever its parts are cut.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace graft::runtime {

/// The string that is complete first ends the text; of several that are complete at once, the
/// longest. What may yet become a string is held back.
class StopStrings {
 public:
  /// Empty strings are left out.
  explicit StopStrings(std::vector<std::string> strings);

  /// Appends to *out what of `text`, and of what was held back, is certain to come before a string.
  /// True once a string has appeared; nothing comes out after that.
  bool Append(std::string_view text, std::string* out);
  /// Appends what is held back: no more text comes.
  void Finish(std::string* out);

 private:
  std::vector<std::string> strings_;
  std::string held_;
  size_t examined_ = 0;  // ends in held_ up to here are known to complete no string
  bool has_stopped_ = false;
};

}  // namespace graft::runtime
