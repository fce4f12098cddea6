// SPDX-License-Identifier: Apache-2.0
// Methods of strings, maps and lists that change nothing, and the functions a template may call.
#include <algorithm>
#include <array>

#include "runtime/base/utf8.h"
#include "runtime/chat/builtins.h"
#include "runtime/chat/text_rules.h"

namespace graft::runtime::chat {
namespace {

constexpr std::array<std::string_view, 24> kTextMethods = {
    "strip",   "lstrip",  "rstrip", "split",        "rsplit",       "splitlines",
    "upper",   "lower",   "title",  "capitalize",   "startswith",   "endswith",
    "replace", "find",    "rfind",  "count",        "join",         "isdigit",
    "isalpha", "isspace", "index",  "removeprefix", "removesuffix", "isnumeric"};
constexpr std::array<std::string_view, 8> kCharacterMethods = {
    "upper", "lower", "title", "capitalize", "isdigit", "isalpha", "isspace", "isnumeric"};
constexpr std::array<std::string_view, 4> kMapMethods = {"items", "keys", "values", "get"};
constexpr std::array<std::string_view, 2> kListMethods = {"index", "count"};
constexpr std::array<std::string_view, 5> kGlobals = {"range", "namespace", "raise_exception",
                                                      "strftime_now", "dict"};

constexpr int64_t kMaxRange = 1 << 20;

template <size_t N>
bool IsIn(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// For one of many parts that a text is cut into, or that go into it.
Status PayForPart(Interpreter& run, std::string_view part, int64_t count) {
  return run.Spend(part.size() / kBytesPerStep + (count % 4 == 0 ? 1 : 0));
}

/// `text` with the first `most` places of `from` made `to`; negative: all.
Result<Value> Replace(Interpreter& run, std::string_view text, std::string_view from,
                      std::string_view to, int64_t most) {
  GRAFT_RETURN_IF_ERROR(run.Spend(text.size() / kBytesPerStep));
  std::string result;
  size_t copied = 0;
  for (int64_t done = 0; most < 0 || done < most; ++done) {
    GRAFT_RETURN_IF_ERROR(PayForPart(run, to, done));
    GRAFT_ASSIGN_OR_RETURN(size_t at,
                           run.Find(text, from, from.empty() && done > 0 ? copied + 1 : copied));
    if (from.empty() && at != std::string_view::npos) {
      // An empty text is found before each character and at the end.
      while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
    }
    if (at == std::string_view::npos) break;
    result.append(text.substr(copied, at - copied)).append(to);
    copied = at + from.size();
    if (result.size() > run.heap().bytes_left()) break;  // Text tells
    if (from.empty() && copied == text.size()) break;
  }
  result.append(text.substr(copied));
  return run.heap().Text(std::move(result));
}

Status AppendPart(Interpreter& run, List* list, std::string_view part) {
  return run.heap().Append(list, Value::Of(part));
}

/// Parts between white space; `most` cuts at most, counted from the left or from the right.
Result<Value> SplitAtSpaces(Interpreter& run, std::string_view text, int64_t most,
                            bool from_right) {
  GRAFT_ASSIGN_OR_RETURN(List * list, run.heap().NewList());
  const auto is_space = [&](size_t at) { return IsSpaceInPython(ReadUtf8(text, at).code); };
  for (int64_t cuts = 0;; ++cuts) {
    text = Strip(text, nullptr, !from_right, from_right);
    if (text.empty()) break;
    if (most >= 0 && cuts >= most) {
      GRAFT_RETURN_IF_ERROR(AppendPart(run, list, Strip(text, nullptr, from_right, !from_right)));
      break;
    }
    if (from_right) {
      size_t begin = text.size();
      while (begin > 0) {
        const Utf8Char c = ReadUtf8Before(text, begin);
        if (IsSpaceInPython(c.code)) break;
        begin -= c.length;
      }
      GRAFT_RETURN_IF_ERROR(AppendPart(run, list, text.substr(begin)));
      text = text.substr(0, begin);
    } else {
      size_t end = 0;
      while (end < text.size() && !is_space(end)) end += Utf8Length(text[end]);
      GRAFT_RETURN_IF_ERROR(AppendPart(run, list, text.substr(0, end)));
      text.remove_prefix(end);
    }
  }
  if (from_right) std::reverse(list->items.begin(), list->items.end());
  return Value::Of(list);
}

Result<Value> Split(Interpreter& run, std::string_view text, const Arguments& arguments,
                    bool from_right) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t most, IntArgument(arguments, 1, "maxsplit", -1));
  const Value* separator = arguments.Find(0, "sep");
  if (separator == nullptr || separator->Is(ValueKind::kNone)) {
    GRAFT_RETURN_IF_ERROR(run.Spend(text.size() / kCharactersPerStep));
    return SplitAtSpaces(run, text, most, from_right);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string_view cut, TextArgument(arguments, 0, "sep"));
  if (cut.empty()) return Status(StatusCode::kCorrupt, "split at an empty text");
  GRAFT_ASSIGN_OR_RETURN(List * list, run.heap().NewList());
  for (int64_t cuts = 0; most < 0 || cuts < most; ++cuts) {
    GRAFT_RETURN_IF_ERROR(PayForPart(run, {}, cuts));
    GRAFT_ASSIGN_OR_RETURN(const size_t at,
                           from_right ? run.FindLast(text, cut) : run.Find(text, cut, 0));
    if (at == std::string_view::npos) break;
    GRAFT_RETURN_IF_ERROR(
        AppendPart(run, list, from_right ? text.substr(at + cut.size()) : text.substr(0, at)));
    text = from_right ? text.substr(0, at) : text.substr(at + cut.size());
  }
  GRAFT_RETURN_IF_ERROR(AppendPart(run, list, text));
  if (from_right) std::reverse(list->items.begin(), list->items.end());
  return Value::Of(list);
}

Result<Value> SplitLines(Interpreter& run, std::string_view text) {
  GRAFT_RETURN_IF_ERROR(run.Spend(text.size() / kCharactersPerStep));
  GRAFT_ASSIGN_OR_RETURN(List * list, run.heap().NewList());
  while (!text.empty()) {
    const size_t end = text.find_first_of("\n\r");
    GRAFT_RETURN_IF_ERROR(AppendPart(run, list, text.substr(0, end)));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return Value::Of(list);
}

/// startswith and endswith, of one text or any of a tuple.
Result<Value> HasEnd(Interpreter& run, std::string_view text, const Arguments& arguments,
                     bool at_start) {
  const Value* wanted = arguments.Find(0, "prefix");
  if (wanted == nullptr) return Status(StatusCode::kCorrupt, "an argument is missing");
  if (!wanted->IsList() && !wanted->IsString())
    return Status(StatusCode::kCorrupt, "a text is expected");
  const std::vector<Value> alone = {*wanted};
  for (const Value end : wanted->IsList() ? wanted->list().items : alone) {
    const std::string_view part = end.IsString() ? end.text() : std::string_view();
    GRAFT_RETURN_IF_ERROR(run.Spend(1 + part.size() / kBytesPerStep));
    if (end.IsString() && (at_start ? text.starts_with(part) : text.ends_with(part)))
      return Value::Of(true);
  }
  return Value::Of(false);
}

/// Where a text is found, in characters; -1 if it is not.
Result<Value> FindPlace(Interpreter& run, std::string_view text, const Arguments& arguments,
                        bool from_right, bool must_be) {
  GRAFT_ASSIGN_OR_RETURN(const std::string_view wanted, TextArgument(arguments, 0, "sub"));
  GRAFT_ASSIGN_OR_RETURN(const size_t at,
                         from_right ? run.FindLast(text, wanted) : run.Find(text, wanted, 0));
  if (at != std::string_view::npos) {
    return Value::Of(static_cast<int64_t>(CountCharacters(text.substr(0, at))));
  }
  if (must_be) return Status(StatusCode::kCorrupt, "index of a text that is not there");
  return Value::Of(int64_t{-1});
}

Result<Value> StripText(Interpreter& run, std::string_view text, const Arguments& arguments,
                        bool left, bool right) {
  GRAFT_RETURN_IF_ERROR(run.Spend(text.size() / kCharactersPerStep));
  const Value* given = arguments.Find(0, "chars");
  if (given == nullptr || given->Is(ValueKind::kNone))
    return Value::Of(Strip(text, nullptr, left, right));
  GRAFT_ASSIGN_OR_RETURN(const std::string_view characters, TextArgument(arguments, 0, "chars"));
  GRAFT_RETURN_IF_ERROR(run.Spend(characters.size() / 4));  // they are sorted
  const CharacterSet set = CharactersOf(characters);
  return Value::Of(Strip(text, &set, left, right));
}

Result<Value> CountText(Interpreter& run, std::string_view text, std::string_view wanted) {
  if (wanted.empty()) {
    GRAFT_RETURN_IF_ERROR(run.Spend(text.size() / kBytesPerStep));
    return Value::Of(static_cast<int64_t>(CountCharacters(text)) + 1);
  }
  int64_t count = 0;
  for (size_t at = 0;; at += wanted.size(), ++count) {
    GRAFT_RETURN_IF_ERROR(PayForPart(run, {}, count));
    GRAFT_ASSIGN_OR_RETURN(at, run.Find(text, wanted, at));
    if (at == std::string_view::npos) return Value::Of(count);
  }
}

/// Methods that look at every character.
Result<Value> CallCharacterMethod(Interpreter& run, std::string_view text, std::string_view name) {
  GRAFT_RETURN_IF_ERROR(run.Spend(text.size() / kCharactersPerStep));
  if (name == "upper") return run.heap().Text(ChangeCase(text, LetterCase::kUpper));
  if (name == "lower") return run.heap().Text(ChangeCase(text, LetterCase::kLower));
  if (name == "title") return run.heap().Text(Title(text, false));
  if (name == "capitalize") return run.heap().Text(Capitalize(text));
  if (name == "isalpha") return Value::Of(AllLetters(text));
  if (name == "isspace") return Value::Of(AllSpaces(text));
  return Value::Of(AllDigits(text));  // isdigit, isnumeric
}

Result<Value> CallTextMethod(Interpreter& run, std::string_view text, std::string_view name,
                             const Arguments& arguments) {
  if (IsIn(kCharacterMethods, name)) return CallCharacterMethod(run, text, name);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return StripText(run, text, arguments, name != "rstrip", name != "lstrip");
  }
  if (name == "split" || name == "rsplit") return Split(run, text, arguments, name[0] == 'r');
  if (name == "splitlines") return SplitLines(run, text);
  if (name == "startswith" || name == "endswith") {
    return HasEnd(run, text, arguments, name == "startswith");
  }
  if (name == "find" || name == "rfind" || name == "index") {
    return FindPlace(run, text, arguments, name == "rfind", name == "index");
  }
  if (name == "join")
    return ApplyFilter(run, "join", arguments.size() > 0 ? arguments.at(0) : Value(), [&] {
      Arguments separator;
      separator.Add({}, Value::Of(text));
      return separator;
    }());
  GRAFT_ASSIGN_OR_RETURN(const std::string_view first, TextArgument(arguments, 0, "old"));
  GRAFT_RETURN_IF_ERROR(run.Spend(std::min(first.size(), text.size()) / kBytesPerStep));
  if (name == "removeprefix") {
    return Value::Of(text.starts_with(first) ? text.substr(first.size()) : text);
  }
  if (name == "removesuffix") {
    return Value::Of(text.ends_with(first) ? text.substr(0, text.size() - first.size()) : text);
  }
  if (name == "count") return CountText(run, text, first);
  GRAFT_ASSIGN_OR_RETURN(const std::string_view to, TextArgument(arguments, 1, "new"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t most, IntArgument(arguments, 2, "count", -1));
  return Replace(run, text, first, to, most);
}

Result<Value> CallMapMethod(Interpreter& run, const Map& map, std::string_view name,
                            const Arguments& arguments) {
  if (name == "get") {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view key, TextArgument(arguments, 0, "key"));
    GRAFT_ASSIGN_OR_RETURN(const Value* value, run.Find(map, key));
    if (value != nullptr) return *value;
    const Value* fallback = arguments.Find(1, "default");
    return fallback == nullptr ? Value::None() : *fallback;
  }
  GRAFT_RETURN_IF_ERROR(run.Spend(map.members.size() / 4));
  GRAFT_ASSIGN_OR_RETURN(List * list, run.heap().NewList());
  for (const auto& [key, value] : map.members) {
    if (name == "items") {
      GRAFT_ASSIGN_OR_RETURN(List * pair, run.heap().NewList());
      pair->is_tuple = true;
      GRAFT_RETURN_IF_ERROR(run.heap().Append(pair, Value::Of(key)));
      GRAFT_RETURN_IF_ERROR(run.heap().Append(pair, value));
      GRAFT_RETURN_IF_ERROR(run.heap().Append(list, Value::Of(pair)));
    } else {
      GRAFT_RETURN_IF_ERROR(run.heap().Append(list, name == "keys" ? Value::Of(key) : value));
    }
  }
  return Value::Of(list);
}

Result<Value> CallListMethod(Interpreter& run, const List& list, std::string_view name,
                             const Arguments& arguments) {
  const Value wanted = arguments.size() > 0 ? arguments.at(0) : Value();
  int64_t count = 0;
  for (size_t i = 0; i < list.items.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const bool same, run.AreEqual(list.items[i], wanted));
    if (same && name == "index") return Value::Of(static_cast<int64_t>(i));
    count += same;
  }
  if (name == "count") return Value::Of(count);
  return Status(StatusCode::kCorrupt, "index of what is not in the list");
}

Result<Value> Range(Interpreter& run, const Arguments& arguments) {
  int64_t bounds[3] = {0, 0, 1};
  if (arguments.size() == 0 || arguments.size() > 3) {
    return Status(StatusCode::kCorrupt, "range takes one to three numbers");
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(bounds[arguments.size() == 1 ? 1 : i], IntArgument(arguments, i, {}, 0));
    const int64_t bound = bounds[arguments.size() == 1 ? 1 : i];
    if (bound > kMaxRange || bound < -kMaxRange) {
      return Status(StatusCode::kOutOfRange, "a range of too many numbers");
    }
  }
  if (bounds[2] == 0) return Status(StatusCode::kCorrupt, "a range of step 0");
  GRAFT_ASSIGN_OR_RETURN(List * list, run.heap().NewList());
  const int64_t numbers = (bounds[1] - bounds[0]) / bounds[2];
  GRAFT_RETURN_IF_ERROR(
      run.Spend(static_cast<size_t>(std::max<int64_t>(0, numbers)) / kComparisonsPerStep));
  for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1]; i += bounds[2]) {
    GRAFT_RETURN_IF_ERROR(run.heap().Append(list, Value::Of(i)));
  }
  return Value::Of(list);
}

Result<Value> FormatTime(Interpreter& run, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const std::string_view format, TextArgument(arguments, 0, "format"));
  const std::time_t now = run.now();
  std::tm local{};
  char text[512];
  if (format.size() > 128 || localtime_r(&now, &local) == nullptr) {
    return Status(StatusCode::kCorrupt, "strftime_now cannot format the time");
  }
  const size_t size = std::strftime(text, sizeof(text), std::string(format).c_str(), &local);
  return run.heap().Text(std::string(text, size));
}

}  // namespace

Result<std::string_view> TextArgument(const Arguments& arguments, size_t place,
                                      std::string_view name) {
  const Value* value = arguments.Find(place, name);
  if (value != nullptr && value->IsString()) return value->text();
  return Error(StatusCode::kCorrupt, "argument %zu must be a text", place + 1);
}

Result<int64_t> IntArgument(const Arguments& arguments, size_t place, std::string_view name,
                            int64_t fallback) {
  const Value* value = arguments.Find(place, name);
  if (value == nullptr || value->Is(ValueKind::kNone)) return fallback;
  if (value->Is(ValueKind::kInteger) || value->IsBool()) return value->int_value();
  return Error(StatusCode::kCorrupt, "argument %zu must be a whole number", place + 1);
}

bool HasMethod(Value self, std::string_view name) {
  if (self.IsString()) return IsIn(kTextMethods, name);
  if (self.Is(ValueKind::kMap)) return IsIn(kMapMethods, name);
  return self.IsList() && IsIn(kListMethods, name);
}

Result<Value> CallMethod(Interpreter& run, Value self, std::string_view name,
                         const Arguments& arguments) {
  if (self.IsString()) return CallTextMethod(run, self.text(), name, arguments);
  if (self.IsMap()) return CallMapMethod(run, self.map(), name, arguments);
  return CallListMethod(run, self.list(), name, arguments);
}

bool HasGlobal(std::string_view name) { return IsIn(kGlobals, name); }

Result<Value> CallGlobal(Interpreter& run, std::string_view name, Value self,
                         const Arguments& arguments) {
  if (name == "range") return Range(run, arguments);
  if (name == "strftime_now") return FormatTime(run, arguments);
  if (name == "raise_exception") {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view message, TextArgument(arguments, 0, "message"));
    return Error(StatusCode::kInvalidArgument, "the template refuses the messages: %.*s",
                 static_cast<int>(std::min<size_t>(message.size(), 300)), message.data());
  }
  if (name == "cycle") {
    if (arguments.size() == 0) return Status(StatusCode::kCorrupt, "cycle of nothing");
    const Value* index = self.map().Find("index0");
    return arguments.at(static_cast<size_t>(index->int_value()) % arguments.size());
  }
  // namespace and dict.
  GRAFT_ASSIGN_OR_RETURN(Map * map, run.heap().NewMap());
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Value value = arguments.at(i);
    if (!arguments.name(i).empty()) {
      GRAFT_RETURN_IF_ERROR(run.Set(map, arguments.name(i), value));
    } else if (value.Is(ValueKind::kMap)) {
      for (const auto& [key, member] : value.map().members) {
        GRAFT_RETURN_IF_ERROR(run.Set(map, key, member));
      }
    } else {
      return Error(StatusCode::kCorrupt, "%.*s takes arguments with names",
                   static_cast<int>(name.size()), name.data());
    }
  }
  return Value::Of(map, name == "namespace");
}

}  // namespace graft::runtime::chat
