// SPDX-License-Identifier: Apache-2.0
// ValueReader: the values of arguments in forms that are not JSON, written as JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/constrain/json/json_tree.h"

namespace graft::runtime {

class ValueReader {
 public:
  /// quote empty: Python's literals. Else texts stand between `quote`, and names of members bare.
  ValueReader(std::string_view text, std::string_view quote) : text_(text), quote_(quote) {}

  bool AtEnd();
  /// Takes c, and the space before it.
  bool Take(char c);
  bool TakeText(std::string_view text);
  char Peek();
  /// A name as functions and arguments have it; empty if none stands here.
  std::string_view TakeName();
  std::string_view rest() const { return text_.substr(at_); }

  /// Appends a value as JSON to *out.
  bool ReadValue(std::string* out, size_t depth = 0);
  /// Appends what stands between '(' and ')' as the members of an object.
  bool ReadKeywords(std::string* out);
  /// Appends an object, which begins here.
  bool ReadMembers(std::string* out, size_t depth);

 private:
  void SkipSpace();
  bool ReadPythonString(char quote, std::string* out);
  bool ReadEscape(std::string* text);
  bool ReadQuoted(std::string* out);
  bool ReadList(char close, std::string* out, size_t depth);
  bool ReadWord(std::string* out);
  bool ReadKey(std::string* out);

  std::string_view text_;
  std::string_view quote_;
  size_t at_ = 0;
};

/// False: `text` is no JSON.
bool ReadTree(std::string_view text, JsonTree* tree);

/// What `text` is as JSON if it is a literal of JSON or Python that is no text; empty if it is not.
std::string LiteralAsJson(std::string_view text);

}  // namespace graft::runtime
