// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/list_filters.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "runtime/chat/builtins.h"
#include "runtime/chat/text_rules.h"
#include "runtime/chat/value_text.h"

namespace graft::runtime::chat {
namespace {

/// value.a.b of "a.b"; digits are an index.
Result<Value> AttributeOf(Interpreter& run, Value value, std::string_view path) {
  for (;;) {
    const size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    GRAFT_RETURN_IF_ERROR(run.Spend(1 + name.size() / kCharactersPerStep));
    if (AllDigits(name) && name.size() < 10) {
      GRAFT_ASSIGN_OR_RETURN(
          value, run.ItemOf(value, Value::Of(int64_t{std::atoi(std::string(name).c_str())})));
    } else {
      GRAFT_ASSIGN_OR_RETURN(value, run.MemberOf(value, name, true));
    }
    if (dot == std::string_view::npos) return value;
    path.remove_prefix(dot + 1);
  }
}

/// What an element is sorted, summed or joined by.
Result<Value> KeyOf(Interpreter& run, Value item, const Value* attribute) {
  if (attribute == nullptr || attribute->Is(ValueKind::kNone)) return item;
  if (attribute->Is(ValueKind::kInteger)) return run.ItemOf(item, *attribute);
  if (!attribute->IsString()) return Status(StatusCode::kCorrupt, "attribute must be a text");
  return AttributeOf(run, item, attribute->text());
}

struct Keyed {
  Value key;
  Value item;
};

/// Sorts, keeping the order of equals. Elements that do not compare are an error.
Status SortKeyed(Interpreter& run, bool reverse, std::vector<Keyed>* all) {
  Status failure;
  std::stable_sort(all->begin(), all->end(), [&](const Keyed& a, const Keyed& b) {
    const Result<int> order = run.Compare(reverse ? b.key : a.key, reverse ? a.key : b.key);
    if (order.ok()) return *order < 0;
    failure = order.status();
    return false;  // an order still: that of equals
  });
  return failure;
}

/// Text without the difference of upper and lower case, as sorting and comparing sees it.
Result<Value> Folded(Interpreter& run, Value value, bool case_sensitive) {
  if (case_sensitive || !value.IsString()) return value;
  GRAFT_RETURN_IF_ERROR(run.Spend(value.text().size() / kCharactersPerStep));
  return run.heap().Text(ChangeCase(value.text(), LetterCase::kLower));
}

bool IsSet(const Arguments& arguments, size_t place, std::string_view name) {
  const Value* value = arguments.Find(place, name);
  return value != nullptr && value->IsTrue();
}

Result<Value> FromItems(Interpreter& run, const std::vector<Keyed>& all) {
  GRAFT_ASSIGN_OR_RETURN(List * list, run.heap().NewList());
  for (const Keyed& keyed : all) {
    GRAFT_RETURN_IF_ERROR(run.heap().Append(list, keyed.item));
  }
  return Value::Of(list);
}

/// What is false, such as None, has no elements for some filters.
Result<const List*> ElementsIfAny(Interpreter& run, Value value) {
  if (value.IsTrue()) return run.Elements(value);
  GRAFT_ASSIGN_OR_RETURN(const List* const none, run.heap().NewList());
  return none;
}

/// select, reject, selectattr, rejectattr.
Result<Value> Choose(Interpreter& run, Value value, const Arguments& arguments, bool keeps,
                     bool by_attribute) {
  std::string_view attribute;
  if (by_attribute) {
    GRAFT_ASSIGN_OR_RETURN(attribute, TextArgument(arguments, 0, "attribute"));
  }
  const size_t test_place = by_attribute ? 1 : 0;
  GRAFT_ASSIGN_OR_RETURN(const List* all, ElementsIfAny(run, value));
  GRAFT_ASSIGN_OR_RETURN(List * chosen, run.heap().NewList());
  const Arguments rest = arguments.From(test_place + 1);
  for (const Value item : all->items) {
    GRAFT_RETURN_IF_ERROR(run.Spend(1));
    Value tested = item;
    if (by_attribute) {
      GRAFT_ASSIGN_OR_RETURN(tested, AttributeOf(run, item, attribute));
    }
    bool holds = tested.IsTrue();
    if (arguments.size() > test_place) {
      GRAFT_ASSIGN_OR_RETURN(const std::string_view test,
                             TextArgument(arguments, test_place, "test"));
      GRAFT_ASSIGN_OR_RETURN(holds, ApplyTest(run, test, tested, rest));
    }
    if (holds == keeps) GRAFT_RETURN_IF_ERROR(run.heap().Append(chosen, item));
  }
  return Value::Of(chosen);
}

Result<Value> Extreme(Interpreter& run, Value value, const Arguments& arguments, int wanted) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  const Value* attribute = arguments.Find(1, "attribute");
  const bool sensitive = IsSet(arguments, 0, "case_sensitive");
  Value best = Value::Undefined("no element");
  Value best_key;
  for (size_t i = 0; i < all->items.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(Value key, KeyOf(run, all->items[i], attribute));
    GRAFT_ASSIGN_OR_RETURN(key, Folded(run, key, sensitive));
    if (i > 0) {
      GRAFT_ASSIGN_OR_RETURN(const int order, run.Compare(key, best_key));
      if (order != wanted) continue;
    }
    best = all->items[i];
    best_key = key;
  }
  return best;
}

}  // namespace

Result<Value> Length(Interpreter& run, Value value, const Arguments&) {
  if (value.IsString()) {
    GRAFT_RETURN_IF_ERROR(run.Spend(value.text().size() / kBytesPerStep));
    return Value::Of(static_cast<int64_t>(CountCharacters(value.text())));
  }
  if (value.IsList()) return Value::Of(static_cast<int64_t>(value.list().items.size()));
  if (value.Is(ValueKind::kMap)) {
    return Value::Of(static_cast<int64_t>(value.map().members.size()));
  }
  if (value.Is(ValueKind::kUndefined)) return Value::Of(int64_t{0});
  return Error(StatusCode::kCorrupt, "%s has no length", value.type_name());
}

Result<Value> Join(Interpreter& run, Value value, const Arguments& arguments) {
  Value separator = Value::Of(std::string_view());
  if (const Value* given = arguments.Find(0, "d"); given != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(separator, run.TextOf(*given));
  }
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  std::string joined;
  for (size_t i = 0; i < all->items.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(run.Spend(separator.text().size() / kBytesPerStep));
    if (i > 0) joined += separator.text();
    GRAFT_ASSIGN_OR_RETURN(const Value key,
                           KeyOf(run, all->items[i], arguments.Find(1, "attribute")));
    GRAFT_RETURN_IF_ERROR(run.AppendTextOf(key, run.heap().bytes_left(), &joined));
  }
  return run.heap().Text(std::move(joined));
}

Result<Value> First(Interpreter& run, Value value, const Arguments&) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  return all->items.empty() ? Value::Undefined("first of nothing") : all->items.front();
}

Result<Value> Last(Interpreter& run, Value value, const Arguments&) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  return all->items.empty() ? Value::Undefined("last of nothing") : all->items.back();
}

Result<Value> ToList(Interpreter& run, Value value, const Arguments&) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  GRAFT_ASSIGN_OR_RETURN(List * copy, run.heap().NewList());
  for (const Value item : all->items) GRAFT_RETURN_IF_ERROR(run.heap().Append(copy, item));
  return Value::Of(copy);
}

Result<Value> Reverse(Interpreter& run, Value value, const Arguments&) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  GRAFT_ASSIGN_OR_RETURN(List * reversed, run.heap().NewList());
  for (size_t i = all->items.size(); i-- > 0;) {
    GRAFT_RETURN_IF_ERROR(run.heap().Append(reversed, all->items[i]));
  }
  if (!value.IsString()) return Value::Of(reversed);
  return Join(run, Value::Of(reversed), {});
}

Result<Value> Sort(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  std::vector<Keyed> keyed;
  for (const Value item : all->items) {
    GRAFT_ASSIGN_OR_RETURN(Value key, KeyOf(run, item, arguments.Find(2, "attribute")));
    GRAFT_ASSIGN_OR_RETURN(key, Folded(run, key, IsSet(arguments, 1, "case_sensitive")));
    keyed.push_back({key, item});
  }
  GRAFT_RETURN_IF_ERROR(SortKeyed(run, IsSet(arguments, 0, "reverse"), &keyed));
  return FromItems(run, keyed);
}

Result<Value> Unique(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  std::vector<Keyed> seen;
  for (const Value item : all->items) {
    GRAFT_ASSIGN_OR_RETURN(Value key, KeyOf(run, item, arguments.Find(1, "attribute")));
    GRAFT_ASSIGN_OR_RETURN(key, Folded(run, key, IsSet(arguments, 0, "case_sensitive")));
    bool is_new = true;
    for (size_t i = 0; i < seen.size() && is_new; ++i) {
      GRAFT_ASSIGN_OR_RETURN(const bool same, run.AreEqual(seen[i].key, key));
      is_new = !same;
    }
    if (is_new) seen.push_back({key, item});
  }
  return FromItems(run, seen);
}

Result<Value> MapElements(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, ElementsIfAny(run, value));
  GRAFT_ASSIGN_OR_RETURN(List * mapped, run.heap().NewList());
  const Value* attribute = arguments.Find(SIZE_MAX, "attribute");
  const Value* fallback = arguments.Find(SIZE_MAX, "default");
  const Arguments rest = arguments.From(1);
  for (const Value item : all->items) {
    GRAFT_RETURN_IF_ERROR(run.Spend(1));
    Value result;
    if (attribute != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(result, KeyOf(run, item, attribute));
      if (result.Is(ValueKind::kUndefined) && fallback != nullptr) result = *fallback;
    } else {
      GRAFT_ASSIGN_OR_RETURN(const std::string_view filter, TextArgument(arguments, 0, "filter"));
      GRAFT_ASSIGN_OR_RETURN(result, ApplyFilter(run, filter, item, rest));
    }
    GRAFT_RETURN_IF_ERROR(run.heap().Append(mapped, result));
  }
  return Value::Of(mapped);
}

Result<Value> Select(Interpreter& run, Value value, const Arguments& arguments) {
  return Choose(run, value, arguments, true, false);
}
Result<Value> Reject(Interpreter& run, Value value, const Arguments& arguments) {
  return Choose(run, value, arguments, false, false);
}
Result<Value> SelectBy(Interpreter& run, Value value, const Arguments& arguments) {
  return Choose(run, value, arguments, true, true);
}
Result<Value> RejectBy(Interpreter& run, Value value, const Arguments& arguments) {
  return Choose(run, value, arguments, false, true);
}

Result<Value> Items(Interpreter& run, Value value, const Arguments&) {
  if (value.Is(ValueKind::kUndefined)) {
    GRAFT_ASSIGN_OR_RETURN(List * none, run.heap().NewList());
    return Value::Of(none);
  }
  if (!value.Is(ValueKind::kMap)) return Status(StatusCode::kCorrupt, "items of what is no map");
  return CallMethod(run, value, "items", {});
}

Result<Value> SortMap(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const Value items, Items(run, value, {}));
  std::string_view by = "key";
  if (arguments.Find(1, "by") != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(by, TextArgument(arguments, 1, "by"));
  }
  std::vector<Keyed> keyed;
  for (const Value pair : items.list().items) {
    const Value key = pair.list().items[by == "value" ? 1 : 0];
    GRAFT_ASSIGN_OR_RETURN(const Value folded,
                           Folded(run, key, IsSet(arguments, 0, "case_sensitive")));
    keyed.push_back({folded, pair});
  }
  GRAFT_RETURN_IF_ERROR(SortKeyed(run, IsSet(arguments, 2, "reverse"), &keyed));
  return FromItems(run, keyed);
}

Result<Value> Least(Interpreter& run, Value value, const Arguments& arguments) {
  return Extreme(run, value, arguments, -1);
}
Result<Value> Most(Interpreter& run, Value value, const Arguments& arguments) {
  return Extreme(run, value, arguments, 1);
}

Result<Value> Sum(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const List* all, run.Elements(value));
  double float_value = 0;
  int64_t int_value = 0;
  bool is_float = false;
  for (const Value item : all->items) {
    GRAFT_ASSIGN_OR_RETURN(const Value key, KeyOf(run, item, arguments.Find(0, "attribute")));
    if (!key.IsNumber()) return Status(StatusCode::kCorrupt, "a sum of what is no number");
    is_float = is_float || key.Is(ValueKind::kFloat);
    float_value += key.float_value();
    if (!is_float && __builtin_add_overflow(int_value, key.int_value(), &int_value)) {
      return Status(StatusCode::kOutOfRange, "a number beyond 64 bits");
    }
  }
  return is_float ? Value::Of(float_value) : Value::Of(int_value);
}

}  // namespace graft::runtime::chat
