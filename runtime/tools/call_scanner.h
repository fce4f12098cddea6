// SPDX-License-Identifier: Apache-2.0
// CallScanner: finds where a call ends in a text that grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace graft::runtime {

/// Looks at each byte once, whatever it is given.
class CallScanner {
 public:
  enum class State : uint8_t { kOpen, kWhole, kNever };

  /// quote: what stands around texts beside '"' and '\''; close: what ends a call that has no
  /// brackets. Both must outlive this.
  CallScanner(std::string_view quote, std::string_view close) : quote_(quote), close_(close) {}

  /// `body` is what it was before, and more. kNever: no call begins so.
  State Look(std::string_view body);
  /// Where the call ends, once it is whole.
  size_t end() const { return at_; }

 private:
  enum class Kind : uint8_t { kUnknown, kBrackets, kHead, kElements, kPairs };

  State FindKind(std::string_view body);
  State FindText(std::string_view body, std::string_view text, bool is_included);
  State FollowBrackets(std::string_view body);

  std::string_view quote_;
  std::string_view close_;
  Kind kind_ = Kind::kUnknown;
  bool has_own_quote_ = false;
  bool is_quoted_ = false;  // within texts of the own quote
  char string_ = '\0';      // within a text that this ends
  bool is_escaped_ = false;
  size_t depth_ = 0;
  size_t at_ = 0;
};

}  // namespace graft::runtime
