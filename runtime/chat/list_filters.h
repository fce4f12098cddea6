// SPDX-License-Identifier: Apache-2.0
// Jinja's filters on lists and maps.
#pragma once

#include "runtime/chat/interpreter.h"
#include "runtime/chat/value.h"
#include "schema/result.h"

namespace graft::runtime::chat {

Result<Value> Length(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Join(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> First(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Last(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> ToList(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Reverse(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Sort(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Unique(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> MapElements(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Select(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Reject(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> SelectBy(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> RejectBy(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Items(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> SortMap(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Least(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Most(Interpreter& run, Value value, const Arguments& arguments);
Result<Value> Sum(Interpreter& run, Value value, const Arguments& arguments);

}  // namespace graft::runtime::chat
