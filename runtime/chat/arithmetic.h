// SPDX-License-Identifier: Apache-2.0
// Operators on numbers as Python has them, and the error of those that do not fit their operands.
#pragma once

#include <string_view>

#include "runtime/chat/value.h"
#include "schema/result.h"

namespace graft::runtime::chat {

/// a op b, of numbers: + - * / // % **. Whole as long as both are, except for / and powers with
/// negative exponents.
/// Errors   kOutOfRange: beyond 64 bits;
///          kCorrupt: division by zero.
Result<Value> Arithmetic(std::string_view op, Value a, Value b);

/// Why `op` has no result: its operands' types, or which of them is undefined.
Status Unfit(std::string_view op, Value a, Value b);

}  // namespace graft::runtime::chat
