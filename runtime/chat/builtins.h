// SPDX-License-Identifier: Apache-2.0
// What a chat template finds built in: filters, tests, methods of strings, lists and maps, and
// functions.
#pragma once

#include <string_view>

#include "runtime/chat/interpreter.h"
#include "runtime/chat/value.h"
#include "schema/result.h"

namespace graft::runtime::chat {

/// value | name(arguments).
/// Errors   kUnsupported: no such filter.
Result<Value> ApplyFilter(Interpreter& run, std::string_view name, Value value,
                          const Arguments& arguments);
/// value is name(arguments).
/// Errors   kUnsupported: no such test.
Result<bool> ApplyTest(Interpreter& run, std::string_view name, Value value,
                       const Arguments& arguments);
/// Whether values of this kind have a method of that name.
bool HasMethod(Value self, std::string_view name);
Result<Value> CallMethod(Interpreter& run, Value self, std::string_view name,
                         const Arguments& arguments);
bool HasGlobal(std::string_view name);
Result<Value> CallGlobal(Interpreter& run, std::string_view name, Value self,
                         const Arguments& arguments);

/// An argument that must be there, of one kind.
Result<std::string_view> TextArgument(const Arguments& arguments, size_t place,
                                      std::string_view name);
Result<int64_t> IntArgument(const Arguments& arguments, size_t place, std::string_view name,
                            int64_t fallback);

}  // namespace graft::runtime::chat
