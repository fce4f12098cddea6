// SPDX-License-Identifier: Apache-2.0
// Jinja's filters on texts and numbers, and the table of all of them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "runtime/chat/builtins.h"
#include "runtime/chat/list_filters.h"
#include "runtime/chat/text_rules.h"
#include "runtime/chat/value_text.h"

namespace graft::runtime::chat {
namespace {

using Filter = Result<Value> (*)(Interpreter&, Value, const Arguments&);

/// A filter on text: str(value) is spent, and what rule makes of it kept.
template <typename Rule>
Result<Value> OnText(Interpreter& run, Value value, const Rule& rule) {
  GRAFT_ASSIGN_OR_RETURN(const Value text, run.TextOf(value));
  GRAFT_RETURN_IF_ERROR(run.Spend(text.text().size() / kCharactersPerStep));
  return run.heap().Text(rule(text.text()));
}

Result<Value> Trim(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const Value text, run.TextOf(value));
  return CallMethod(run, text, "strip", arguments);
}
Result<Value> Upper(Interpreter& run, Value value, const Arguments&) {
  return OnText(run, value, [](auto text) { return ChangeCase(text, LetterCase::kUpper); });
}
Result<Value> Lower(Interpreter& run, Value value, const Arguments&) {
  return OnText(run, value, [](auto text) { return ChangeCase(text, LetterCase::kLower); });
}
Result<Value> TitleCase(Interpreter& run, Value value, const Arguments&) {
  return OnText(run, value, [](auto text) { return Title(text, true); });
}
Result<Value> CapitalizeText(Interpreter& run, Value value, const Arguments&) {
  return OnText(run, value, [](auto text) { return Capitalize(text); });
}
Result<Value> ToText(Interpreter& run, Value value, const Arguments&) { return run.TextOf(value); }

Result<Value> ReplaceText(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const Value text, run.TextOf(value));
  return CallMethod(run, text, "replace", arguments);
}

Result<Value> Escape(Interpreter& run, Value value, const Arguments&) {
  return OnText(run, value, [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      constexpr std::string_view kMarks = "&<>'\"";
      constexpr std::array<std::string_view, 5> kNames = {"&amp;", "&lt;", "&gt;", "&#39;",
                                                          "&#34;"};
      const size_t mark = kMarks.find(c);
      if (mark == std::string_view::npos) {
        out += c;
      } else {
        out += kNames[mark];
      }
    }
    return out;
  });
}

Result<Value> Indent(Interpreter& run, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const Value text, run.TextOf(value));
  std::string indent(4, ' ');
  GRAFT_RETURN_IF_ERROR(run.Spend(text.text().size() / kCharactersPerStep));
  if (const Value* width = arguments.Find(0, "width"); width != nullptr && width->IsString()) {
    GRAFT_RETURN_IF_ERROR(run.Spend(width->text().size() / kBytesPerStep));
    indent = width->text();
  } else {
    GRAFT_ASSIGN_OR_RETURN(const int64_t spaces, IntArgument(arguments, 0, "width", 4));
    if (spaces < 0 || spaces > 256) return Status(StatusCode::kCorrupt, "indent by 0 to 256");
    indent.assign(static_cast<size_t>(spaces), ' ');
  }
  const Value* first = arguments.Find(1, "first");
  const Value* blank = arguments.Find(2, "blank");
  std::string out;
  std::string_view rest = text.text();
  for (bool is_first = true;; is_first = false) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const bool indents = is_first ? first != nullptr && first->IsTrue()
                                  : !line.empty() || (blank != nullptr && blank->IsTrue());
    if (indents) out += indent;
    out += line;
    if (out.size() > run.heap().bytes_left()) break;  // Text tells
    if (end == std::string_view::npos) break;
    out += '\n';
    rest.remove_prefix(end + 1);
  }
  return run.heap().Text(std::move(out));
}

/// The arguments stand in the order of transformers' own tojson.
Result<Value> ToJson(Interpreter& run, Value value, const Arguments& arguments) {
  JsonStyle style;
  const auto is_true = [&](size_t place, std::string_view name) {
    const Value* given = arguments.Find(place, name);
    return given != nullptr && given->IsTrue();
  };
  style.ensure_ascii = is_true(0, "ensure_ascii");
  if (const Value* given = arguments.Find(1, "indent");
      given != nullptr && !given->Is(ValueKind::kNone)) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t indent, IntArgument(arguments, 1, "indent", -1));
    if (indent < 0 || indent > 16) return Status(StatusCode::kCorrupt, "indent by 0 to 16");
    style.indent = static_cast<int>(indent);
  }
  if (const Value* pair = arguments.Find(2, "separators");
      pair != nullptr && !pair->Is(ValueKind::kNone)) {
    const bool is_pair = pair->IsList() && pair->list().items.size() == 2 &&
                         pair->list().items[0].IsString() && pair->list().items[1].IsString();
    if (!is_pair) return Status(StatusCode::kCorrupt, "separators are two texts");
    style.item_separator = pair->list().items[0].text();
    style.key_separator = pair->list().items[1].text();
    if (style.item_separator.size() + style.key_separator.size() > kBytesPerStep) {
      return Status(StatusCode::kCorrupt, "separators of too many bytes");
    }
  }
  style.sort_keys = is_true(3, "sort_keys");
  std::string out;
  GRAFT_RETURN_IF_ERROR(run.AppendJsonOf(value, style, &out));
  GRAFT_RETURN_IF_ERROR(run.Spend(out.size() / kCharactersPerStep));
  return run.heap().Text(std::move(out));
}

Result<Value> Default(Interpreter&, Value value, const Arguments& arguments) {
  const Value* boolean = arguments.Find(1, "boolean");
  const bool is_missing = value.Is(ValueKind::kUndefined) ||
                          (boolean != nullptr && boolean->IsTrue() && !value.IsTrue());
  if (!is_missing) return value;
  const Value* fallback = arguments.Find(0, "default_value");
  return fallback == nullptr ? Value::Of(std::string_view()) : *fallback;
}

Result<Value> ToWhole(Interpreter&, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t fallback, IntArgument(arguments, 0, "default", 0));
  double float_value = 0;
  if (value.Is(ValueKind::kInteger) || value.IsBool()) return Value::Of(value.int_value());
  if (value.Is(ValueKind::kFloat)) {
    float_value = value.float_value();
  } else if (value.IsString()) {
    const std::string text(Strip(FirstBytes(value.text(), 64), nullptr, true, true));
    char* end = nullptr;
    const long long int_value = std::strtoll(text.c_str(), &end, 10);
    if (!text.empty() && *end == '\0') return Value::Of(static_cast<int64_t>(int_value));
    float_value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') return Value::Of(fallback);
  } else {
    return Value::Of(fallback);
  }
  if (!(std::fabs(float_value) < 9e18)) return Value::Of(fallback);
  return Value::Of(static_cast<int64_t>(float_value));
}

Result<Value> ToReal(Interpreter&, Value value, const Arguments& arguments) {
  if (value.IsNumber()) return Value::Of(value.float_value());
  if (value.IsString()) {
    const std::string text(Strip(FirstBytes(value.text(), 64), nullptr, true, true));
    char* end = nullptr;
    const double float_value = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0') return Value::Of(float_value);
  }
  const Value* fallback = arguments.Find(0, "default");
  return fallback == nullptr ? Value::Of(0.0) : *fallback;
}

Result<Value> Absolute(Interpreter&, Value value, const Arguments&) {
  if (value.Is(ValueKind::kFloat)) return Value::Of(std::fabs(value.float_value()));
  if (!value.IsNumber() || value.int_value() == std::numeric_limits<int64_t>::min()) {
    return Status(StatusCode::kCorrupt, "abs of what is no number");
  }
  return Value::Of(value.int_value() < 0 ? -value.int_value() : value.int_value());
}

Result<Value> Round(Interpreter&, Value value, const Arguments& arguments) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t digits, IntArgument(arguments, 0, "precision", 0));
  if (!value.IsNumber() || digits < 0 || digits > 15) {
    return Status(StatusCode::kCorrupt, "round of what is no number, or to more than 15 digits");
  }
  std::string_view method = "common";
  if (arguments.Find(1, "method") != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(method, TextArgument(arguments, 1, "method"));
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = value.float_value() * scale;
  const double rounded = method == "ceil"    ? std::ceil(scaled)
                         : method == "floor" ? std::floor(scaled)
                                             : std::nearbyint(scaled);
  return Value::Of(rounded / scale);
}

Result<Value> Same(Interpreter&, Value value, const Arguments&) { return value; }

struct Entry {
  std::string_view name;
  Filter filter;
};
constexpr Entry kFilters[] = {
    {"trim", Trim},
    {"length", Length},
    {"count", Length},
    {"upper", Upper},
    {"lower", Lower},
    {"title", TitleCase},
    {"join", Join},
    {"replace", ReplaceText},
    {"default", Default},
    {"d", Default},
    {"first", First},
    {"last", Last},
    {"list", ToList},
    {"string", ToText},
    {"int", ToWhole},
    {"float", ToReal},
    {"abs", Absolute},
    {"round", Round},
    {"reverse", Reverse},
    {"sort", Sort},
    {"unique", Unique},
    {"map", MapElements},
    {"select", Select},
    {"reject", Reject},
    {"selectattr", SelectBy},
    {"rejectattr", RejectBy},
    {"tojson", ToJson},
    {"items", Items},
    {"dictsort", SortMap},
    {"indent", Indent},
    {"safe", Same},
    {"escape", Escape},
    {"e", Escape},
    {"min", Least},
    {"max", Most},
    {"sum", Sum},
    {"capitalize", CapitalizeText},
};

}  // namespace

Result<Value> ApplyFilter(Interpreter& run, std::string_view name, Value value,
                          const Arguments& arguments) {
  for (const Entry& entry : kFilters) {
    if (entry.name == name) return entry.filter(run, value, arguments);
  }
  return Error(StatusCode::kUnsupported, "the filter \"%.*s\" is not known",
               static_cast<int>(std::min<size_t>(name.size(), 60)), name.data());
}

}  // namespace graft::runtime::chat
