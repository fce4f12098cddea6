// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/arithmetic.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace graft::runtime::chat {
namespace {

Result<Value> IntArithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  if (op == "+") {
    overflows = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    overflows = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    overflows = __builtin_mul_overflow(a, b, &result);
  } else if (op == "//" || op == "%") {
    if (b == 0) return Status(StatusCode::kCorrupt, "division by zero");
    overflows = a == std::numeric_limits<int64_t>::min() && b == -1;
    if (!overflows) {
      // Python rounds down, C++ towards zero.
      const bool is_lower = a % b != 0 && (a < 0) != (b < 0);
      result = op == "//" ? a / b - (is_lower ? 1 : 0) : a % b + (is_lower ? b : 0);
    }
  } else {  // **, of a small exponent
    if (b < 0) return Value::Of(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    for (int64_t i = 0; i < b && !overflows; ++i) {
      overflows = i > 64 || __builtin_mul_overflow(result, a, &result);
    }
  }
  if (overflows) return Status(StatusCode::kOutOfRange, "a number beyond 64 bits");
  return Value::Of(result);
}

Result<Value> FloatArithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value::Of(a + b);
  if (op == "-") return Value::Of(a - b);
  if (op == "*") return Value::Of(a * b);
  if (op == "**") return Value::Of(std::pow(a, b));
  if (b == 0) return Status(StatusCode::kCorrupt, "division by zero");
  if (op == "/") return Value::Of(a / b);
  const double floor = std::floor(a / b);
  return Value::Of(op == "//" ? floor : a - floor * b);
}

}  // namespace

Result<Value> Arithmetic(std::string_view op, Value a, Value b) {
  if (a.Is(ValueKind::kFloat) || b.Is(ValueKind::kFloat) || op == "/") {
    return FloatArithmetic(op, a.float_value(), b.float_value());
  }
  return IntArithmetic(op, a.int_value(), b.int_value());
}

Status Unfit(std::string_view op, Value a, Value b) {
  const auto name = [](Value value) {
    return std::string(value.Is(ValueKind::kUndefined) ? value.text().substr(0, 60)
                                                       : value.type_name());
  };
  if (a.Is(ValueKind::kUndefined) || b.Is(ValueKind::kUndefined)) {
    return Error(StatusCode::kCorrupt, "'%s' is undefined",
                 name(a.Is(ValueKind::kUndefined) ? a : b).c_str());
  }
  return Error(StatusCode::kCorrupt, "%s and %s do not go together in %.*s", name(a).c_str(),
               name(b).c_str(), static_cast<int>(op.size()), op.data());
}

}  // namespace graft::runtime::chat
