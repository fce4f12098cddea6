// SPDX-License-Identifier: Apache-2.0
// Expressions of decimal numbers: those on one side of a bound, and multiples.
#include <algorithm>
#include <string>
#include <string_view>

#include "runtime/constrain/expressions.h"

namespace graft::runtime {

// A comparison's state: whether the point has passed, and how the digits so far compare with as
// many of the bound's. Its position: the digits so far of the part before or behind the point.
namespace {

constexpr uint32_t kPointPassed = 4;
enum Order : uint32_t { kLess = 0, kEqual = 1, kMore = 2 };

uint32_t WholeDigits(std::string_view bound) {
  return static_cast<uint32_t>(std::min(bound.find('.'), bound.size()));
}

/// How the whole part compares once it has ended.
uint32_t EndWhole(std::string_view bound, uint32_t order, uint32_t digits) {
  if (digits != WholeDigits(bound)) return digits < WholeDigits(bound) ? kLess : kMore;
  return order;
}

bool Holds(uint32_t comparison, uint32_t order) {
  switch (static_cast<Comparison>(comparison)) {
    case Comparison::kAtLeast:
      return order != kLess;
    case Comparison::kAbove:
      return order == kMore;
    case Comparison::kAtMost:
      return order != kMore;
    case Comparison::kBelow:
      return order == kLess;
  }
  return false;
}

}  // namespace

Expression ExpressionPool::Compare(Comparison comparison, std::string_view bound) {
  // Without zeros at either end that count for nothing.
  std::string digits(bound);
  if (digits.find('.') != std::string::npos) {
    while (digits.back() == '0') digits.pop_back();
    if (digits.back() == '.') digits.pop_back();
  }
  bounds_.push_back(digits);
  return MakeCompare(static_cast<uint32_t>(bounds_.size() - 1),
                     static_cast<uint32_t>(comparison) << 4 | kEqual, 0);
}

Expression ExpressionPool::MakeCompare(uint32_t bound, uint32_t state, uint32_t position) {
  const std::string& digits = bounds_[bound];
  const uint32_t whole = WholeDigits(digits);
  uint32_t order = state & 3;
  const bool has_passed = (state & kPointPassed) != 0;
  if (!has_passed) {
    order = EndWhole(digits, order, position);
    if (position > whole) state = (state & ~3u) | kMore;
  }
  if (order == kEqual) {  // what the bound has and the number has not
    const size_t fraction = digits.size() > whole ? digits.size() - whole - 1 : 0;
    if ((has_passed ? position : 0) < fraction) order = kLess;
  }
  Node node;
  node.kind = Kind::kCompare;
  node.a = bound;
  node.b = state;
  node.c = position;
  node.is_nullable = Holds(state >> 4, order);
  node.needs_search = true;
  node.is_finite = false;
  return Intern(node);
}

Expression ExpressionPool::DeriveCompare(const Node& node, uint8_t byte) {
  const std::string& digits = bounds_[node.a];
  const uint32_t whole = WholeDigits(digits);
  uint32_t order = node.b & 3;
  const uint32_t comparison = node.b & ~7u;
  const bool has_passed = (node.b & kPointPassed) != 0;
  if (byte == '.' && !has_passed) {
    order = EndWhole(digits, order, node.c);
    return MakeCompare(node.a, comparison | kPointPassed | order, 0);
  }
  if (byte < '0' || byte > '9') return kNothing;
  const uint32_t at = has_passed ? whole + 1 + node.c : node.c;
  if (order == kEqual) {
    const char digit = at < digits.size() && digits[at] != '.' ? digits[at] : '0';
    if (has_passed || node.c < whole) {
      order = byte == static_cast<uint8_t>(digit)  ? kEqual
              : byte < static_cast<uint8_t>(digit) ? kLess
                                                   : kMore;
    }
  }
  // Digits beyond the bound's count no further.
  const auto most = static_cast<uint32_t>(has_passed ? digits.size() : whole + 1);
  if (has_passed && order != kEqual) {
    return MakeCompare(node.a, comparison | kPointPassed | order, 0);
  }
  return MakeCompare(node.a, comparison | (has_passed ? kPointPassed : 0) | order,
                     std::min(node.c + 1, most));
}

// A multiple's state: digits behind the point that are left, and whether the point has passed.
Expression ExpressionPool::Multiple(uint32_t divisor, uint32_t scale) {
  // The number is read as if it had `scale` digits behind its point.
  return MakeMultiple(divisor, 0, scale << 1);
}

Expression ExpressionPool::MakeMultiple(uint32_t divisor, uint32_t remainder, uint32_t state) {
  uint64_t rest = remainder;
  for (uint32_t i = 0; i < state >> 1; ++i) rest = rest * 10 % divisor;
  Node node;
  node.kind = Kind::kMultiple;
  node.a = divisor;
  node.b = remainder;
  node.c = state;
  node.is_nullable = rest == 0;
  node.needs_search = true;
  node.is_finite = false;
  return Intern(node);
}

Expression ExpressionPool::DeriveMultiple(const Node& node, uint8_t byte) {
  const bool has_passed = (node.c & 1) != 0;
  if (byte == '.' && !has_passed) return MakeMultiple(node.a, node.b, node.c | 1);
  if (byte < '0' || byte > '9') return kNothing;
  if (has_passed && node.c >> 1 == 0)
    return byte == '0' ? MakeMultiple(node.a, node.b, node.c) : kNothing;
  const auto remainder = static_cast<uint32_t>((uint64_t{node.b} * 10 + (byte - '0')) % node.a);
  return MakeMultiple(node.a, remainder, has_passed ? node.c - 2 : node.c);
}

}  // namespace graft::runtime
