// SPDX-License-Identifier: Apache-2.0
// Numbers within bounds, as decimal digits.
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

constexpr int64_t kMaxExponent = 400;
constexpr size_t kMaxScale = 9;

}  // namespace

Result<SchemaCompiler::Decimal> SchemaCompiler::ReadDecimal(JsonId number) const {
  std::string_view text = tree_[number].text;
  Decimal decimal;
  decimal.is_negative = text.starts_with('-');
  if (decimal.is_negative) text.remove_prefix(1);
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    const bool is_small = text[e + 1] == '-';
    for (const char c : text.substr(e + 1)) {
      if (c < '0' || c > '9') continue;
      exponent = std::min<int64_t>(exponent * 10 + (c - '0'), 100000);
    }
    if (is_small) exponent = -exponent;
    text = text.substr(0, e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits(text.substr(0, point));
  if (point < text.size()) digits += text.substr(point + 1);
  int64_t whole = static_cast<int64_t>(point) + exponent;
  if (exponent > kMaxExponent || exponent < -kMaxExponent || digits.size() > 1000) {
    return Error(StatusCode::kUnsupported,
                 "the schema's number at %s has more than %d digits before or behind the point",
                 tree_.Place(number).c_str(), static_cast<int>(kMaxExponent));
  }
  if (whole <= 0) {
    digits.insert(0, static_cast<size_t>(1 - whole), '0');
    whole = 1;
  }
  if (static_cast<size_t>(whole) > digits.size()) {
    digits.append(static_cast<size_t>(whole) - digits.size(), '0');
  }
  std::string before = digits.substr(0, static_cast<size_t>(whole));
  std::string behind = digits.substr(static_cast<size_t>(whole));
  before.erase(0, std::min(before.find_first_not_of('0'), before.size() - 1));
  while (!behind.empty() && behind.back() == '0') behind.pop_back();
  decimal.digits = behind.empty() ? before : before + "." + behind;
  return decimal;
}

int SchemaCompiler::CompareDecimals(const Decimal& a, const Decimal& b) {
  if (a.IsZero() && b.IsZero()) return 0;
  if (a.is_negative != b.is_negative) return a.is_negative ? -1 : 1;
  const size_t whole_a = std::min(a.digits.find('.'), a.digits.size());
  const size_t whole_b = std::min(b.digits.find('.'), b.digits.size());
  int order = whole_a != whole_b ? (whole_a < whole_b ? -1 : 1) : a.digits.compare(b.digits);
  order = order < 0 ? -1 : order > 0 ? 1 : 0;
  return a.is_negative ? -order : order;
}

/// Adds what `bound` asks of positive numbers, and of what stands behind a minus sign.
Status SchemaCompiler::AddBound(const Decimal& bound, bool is_lower, bool is_exclusive,
                                FlatVector<Expression>* positive,
                                FlatVector<Expression>* negative) {
  const bool is_below_zero = bound.is_negative && !bound.IsZero();
  const auto compare = [&](bool at_least) {
    const Comparison comparison = at_least
                                      ? (is_exclusive ? Comparison::kAbove : Comparison::kAtLeast)
                                      : (is_exclusive ? Comparison::kBelow : Comparison::kAtMost);
    return pool_.Compare(comparison, bound.digits);
  };
  if (is_lower && is_below_zero) {
    negative->push_back(compare(false));
  } else if (is_lower) {
    positive->push_back(compare(true));
    negative->push_back(kNothing);
  } else if (is_below_zero || (bound.IsZero() && is_exclusive)) {
    positive->push_back(kNothing);
    negative->push_back(compare(true));
  } else {
    positive->push_back(compare(false));
  }
  return OkStatus();
}

Status SchemaCompiler::AddMultiple(JsonId schema, JsonId divisor, FlatVector<Expression>* both) {
  if (tree_[divisor].type != JsonType::kNumber)
    return Invalid(schema, "multipleOf", "is no number");
  GRAFT_ASSIGN_OR_RETURN(const Decimal decimal, ReadDecimal(divisor));
  if (decimal.is_negative || decimal.IsZero()) {
    return Invalid(schema, "multipleOf", "is not above zero");
  }
  std::string digits = decimal.digits;
  const size_t point = digits.find('.');
  size_t scale = 0;
  if (point != std::string::npos) {
    scale = digits.size() - point - 1;
    digits.erase(point, 1);
  }
  uint64_t value = 0;
  for (const char c : digits) {
    value = value * 10 + static_cast<uint64_t>(c - '0');
    if (value > UINT32_MAX) return Unsupported(schema, "multipleOf");
  }
  if (scale > kMaxScale) return Unsupported(schema, "multipleOf");
  both->push_back(pool_.Multiple(static_cast<uint32_t>(value), static_cast<uint32_t>(scale)));
  return OkStatus();
}

/// Takes out the numbers of $notEnum.
Status SchemaCompiler::AddExcluded(JsonId schema, FlatVector<Expression>* positive,
                                   FlatVector<Expression>* negative) {
  if (const JsonId excluded = tree_.Find(schema, "$notEnum"); excluded != kNoJson) {
    for (const JsonId value : tree_[excluded].items) {
      if (tree_[value].type != JsonType::kNumber) continue;
      GRAFT_ASSIGN_OR_RETURN(const Decimal decimal, ReadDecimal(value));
      const Expression is = pool_.And(pool_.Compare(Comparison::kAtLeast, decimal.digits),
                                      pool_.Compare(Comparison::kAtMost, decimal.digits));
      (decimal.is_negative ? negative : positive)->push_back(pool_.Not(is));
      if (decimal.IsZero()) negative->push_back(pool_.Not(is));
    }
  }
  return OkStatus();
}

Result<Expression> SchemaCompiler::NumberExpression(const Conjunction& flat, uint32_t types) {
  FlatVector<Expression> positive;
  FlatVector<Expression> negative;
  for (const Part& part : flat) {
    const auto bound = [&](std::string_view keyword, bool is_lower, bool is_exclusive) -> Status {
      const JsonId value = tree_.Find(part.schema, keyword);
      if (value == kNoJson) return OkStatus();
      if (tree_.IsBool(value) && is_exclusive) return OkStatus();  // seen to below
      if (tree_[value].type != JsonType::kNumber) {
        return Invalid(part.schema, keyword, "is no number");
      }
      GRAFT_ASSIGN_OR_RETURN(const Decimal decimal, ReadDecimal(value));
      return AddBound(decimal, is_lower, is_exclusive, &positive, &negative);
    };
    const auto is_true = [&](std::string_view keyword) {  // as draft 4 has it
      const JsonId value = tree_.Find(part.schema, keyword);
      return value != kNoJson && tree_[value].type == JsonType::kTrue;
    };
    GRAFT_RETURN_IF_ERROR(bound("minimum"sv, true, is_true("exclusiveMinimum"sv)));
    GRAFT_RETURN_IF_ERROR(bound("maximum"sv, false, is_true("exclusiveMaximum"sv)));
    GRAFT_RETURN_IF_ERROR(bound("exclusiveMinimum"sv, true, true));
    GRAFT_RETURN_IF_ERROR(bound("exclusiveMaximum"sv, false, true));
    if (const JsonId divisor = tree_.Find(part.schema, "multipleOf"); divisor != kNoJson) {
      FlatVector<Expression> both;
      GRAFT_RETURN_IF_ERROR(AddMultiple(part.schema, divisor, &both));
      positive.Append(both);
      negative.Append(both);
    }
    GRAFT_RETURN_IF_ERROR(AddExcluded(part.schema, &positive, &negative));
  }
  const bool is_bounded = !positive.empty() || !negative.empty();
  ByteSet digit_set;
  digit_set.AddRange('0', '9');
  ByteSet lead_set;
  lead_set.AddRange('1', '9');
  const Expression digit = pool_.Bytes(digit_set);
  const Expression counting = pool_.Concat(pool_.Bytes(lead_set), pool_.Repeat(digit, 0));
  const Expression whole = pool_.Or(pool_.Literal("0"), counting);
  const Expression fraction = pool_.Concat(pool_.Literal("."), pool_.Repeat(digit, 1));
  Expression tail = kEmpty;
  if ((types & kFractionType) != 0) tail = pool_.Optional(fraction);
  if ((types & kFractionType) != 0 && !is_bounded) {
    ByteSet e;
    e.Add('e');
    e.Add('E');
    ByteSet sign;
    sign.Add('+');
    sign.Add('-');
    tail = pool_.Concat(
        tail, pool_.Optional(pool_.Concat(std::array{
                  pool_.Bytes(e), pool_.Optional(pool_.Bytes(sign)), pool_.Repeat(digit, 1)})));
  }
  const bool is_integer = (types & kFractionType) == 0;
  positive.push_back(pool_.Concat(whole, tail));
  negative.push_back(is_integer ? counting : pool_.Concat(whole, tail));
  return pool_.Or(pool_.And(positive), pool_.Concat(pool_.Literal("-"), pool_.And(negative)));
}

Status SchemaCompiler::BuildNumber(RuleId rule, const Conjunction& flat, uint32_t types) {
  if ((types & kIntegerType) == 0) {
    return Unsupported(flat.empty() ? 0 : flat.front().schema, "not");  // "integer" alone
  }
  GRAFT_ASSIGN_OR_RETURN(const Expression number, NumberExpression(flat, types));
  if (number != kNothing) grammar_.AddWay(rule, Grammar::Is(number));
  return OkStatus();
}

}  // namespace graft::runtime
