// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/tool_grammar.h"

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/constrain/characters.h"
#include "runtime/constrain/json/schema_compiler.h"
#include "runtime/constrain/regex.h"
#include "runtime/tools/call_body.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

using Symbol = GrammarSymbol;

constexpr size_t kMaxArguments = 1000;
constexpr size_t kMaxNested = 32;  // schemas within schemas, in kBraces

/// What stands around arguments, and in forms that are not JSON before, within, between and behind
/// each of them. In patterns a sign stands for something: N the function's name, A what format calls
/// arguments, _ a space or none, ~ a line's end or none; the others as FromPattern has them.
struct FormText {
  std::string_view head, tail;
  std::string_view before, between, comma, end;
};
constexpr std::pair<char, std::string_view> kSigns[] = {
    {'_', " "},           {'~', "\n"},           {'!', "name"},  {'?', "call:"},
    {'^', kElementsOpen}, {'$', kElementsClose}, {'&', "[ARGS]"}};
// FormText's six for each of CallForm's forms in turn, a bar behind each.
constexpr std::string_view kFormTexts =
    "{\"!\":_\"N\",_\"A\":_|}|||||"
    "{\"!\":_\"N\",_\"A\":_|@}|||||"
    "N#&||||||"
    "N(|)||=|, ||"
    "?N{|}||:|,||"
    "^N>\n|~$|<parameter=|>\n|\n|</parameter>|"
    "N\n|~|<arg_key>|</arg_key>\n<arg_value>|\n|</arg_value>|";

FormText TextOf(CallForm form) {
  std::string_view texts[6];
  size_t begin = 0;
  for (size_t i = 0; i < 6 * (static_cast<size_t>(form) + 1); ++i) {
    const size_t end = kFormTexts.find('|', begin);
    texts[i % 6] = kFormTexts.substr(begin, end - begin);
    begin = end + 1;
  }
  return {texts[0], texts[1], texts[2], texts[3], texts[4], texts[5]};
}

/// The calls of one tool.
class ToolCompiler {
 public:
  ToolCompiler(const ReplyFormat& format, JsonTree tree, bool in_order, Grammar* grammar)
      : format_(format),
        form_(TextOf(format.form)),
        tree_(tree),
        in_order_(in_order),
        compiler_(std::move(tree), in_order, grammar),
        grammar_(*grammar),
        pool_(grammar->pool()) {
    any_character_ = MakeAnyCharacter(&pool_, Spelling::kText);
  }

  /// The rule of a call.
  Result<RuleId> Compile(std::string_view name) {
    const Expression head = FromPattern(form_.head, name);
    const Expression tail = FromPattern(form_.tail, name);
    // Those without members of their own take JSON.
    const bool is_json = form_.between.empty();
    GRAFT_ASSIGN_OR_RETURN(const RuleId arguments,
                           is_json ? compiler_.CompileAt(0) : Members(0, 0, form_.before));
    const RuleId call = grammar_.NewRule();
    grammar_.AddWay(call, {Is(head), Grammar::Call(arguments), Is(tail)});
    return call;
  }

 private:
  static Symbol Is(Expression e) { return Grammar::Is(e); }
  Expression Text(std::string_view text) { return pool_.Literal(text); }
  template <size_t N>
  [[gnu::always_inline]] Expression Text(const char (&text)[N]) {
    return Text(std::string_view(text, __builtin_strlen(text)));
  }

  /// The text of a pattern of FormText.
  Expression FromPattern(std::string_view pattern, std::string_view name) {
    Expression all = kEmpty;
    for (size_t i = pattern.size(); i-- > 0;) {
      const char sign = pattern[i];
      std::string_view text = pattern.substr(i, 1);
      for (const auto& [each, meaning] : kSigns) text = each == sign ? meaning : text;
      if (sign == 'N') text = name;
      if (sign == 'A') text = format_.arguments;
      const bool is_optional = sign == '_' || sign == '~';
      Expression part = is_optional ? pool_.Optional(Text(text)) : Text(text);
      if (sign == '#') part = NineCharacters("[CALL_ID]"sv, "");
      if (sign == '@') part = NineCharacters(", \"id\": \"", "\"");
      all = pool_.Concat(part, all);
    }
    return all;
  }

  /// An id, as some models give calls, or nothing.
  Expression NineCharacters(std::string_view before, std::string_view behind) {
    ByteSet set;
    set.AddRange('0', '9');
    set.AddRange('A', 'Z');
    set.AddRange('a', 'z');
    return pool_.Optional(Join({Text(before), pool_.Repeat(pool_.Bytes(set), 9, 9), Text(behind)}));
  }

  Expression Join(std::initializer_list<Expression> parts) {
    return pool_.Concat(std::span(parts.begin(), parts.size()));
  }

  /// The members that an object's schema names, `before` each of them.
  Result<RuleId> Members(JsonId schema, size_t depth, std::string_view before) {
    const RuleId rule = grammar_.NewRule();
    const JsonId properties = tree_.Find(schema, "properties");
    const JsonId required = tree_.Find(schema, "required");
    if (properties == kNoJson || tree_[properties].members.empty()) {
      grammar_.AddWay(rule, Is(kEmpty));
      return rule;
    }
    const auto& members = tree_[properties].members;
    if (members.size() > kMaxArguments) {
      return Error(StatusCode::kInvalidArgument, "%zu properties at %s, more than %zu",
                   members.size(), tree_.Place(schema).c_str(), kMaxArguments);
    }
    FlatVector<RuleId> values;
    for (const auto& [name, value] : members) {
      GRAFT_ASSIGN_OR_RETURN(const RuleId one, Value(value, depth));
      values.push_back(one);
    }
    MemberList list;
    list.in_order = in_order_;
    list.comma = Text(form_.comma);
    const uint32_t index = grammar_.NewMembers(list);
    for (size_t i = 0; i < values.size(); ++i) {
      const std::string& name = members[i].first;
      if (name.empty() || !std::ranges::all_of(name, IsCallNameByte)) {
        return Error(StatusCode::kUnsupported,
                     "the property \"%.60s\" has a name that this form of calls cannot write",
                     name.c_str());
      }
      bool is_required = false;
      if (required != kNoJson) {
        for (const JsonId item : tree_[required].items) is_required |= tree_[item].text == name;
      }
      grammar_.AddMember(index, Text(std::string(before).append(name).append(form_.between)),
                         values[i], is_required);
    }
    grammar_.AddWay(rule, Grammar::Members(index));
    return rule;
  }

  /// What references within the schema lead to.
  JsonId Followed(JsonId schema) const {
    for (size_t i = 0; i < kMaxNested; ++i) {
      const JsonId reference = tree_.Find(schema, "$ref");
      if (reference == kNoJson || !tree_[reference].text.starts_with('#')) break;
      const JsonId target = tree_.At(std::string_view(tree_[reference].text).substr(1));
      if (target == kNoJson) break;
      schema = target;
    }
    return schema;
  }

  /// Values that a schema counts up; empty: it does not.
  FlatVector<JsonId> ChoicesOf(JsonId schema) const {
    if (const JsonId one = tree_.Find(schema, "const"); one != kNoJson) return {one};
    const JsonId choices = tree_.Find(schema, "enum");
    return FlatVector<JsonId>(choices == kNoJson ? std::span<const JsonId>()
                                                 : tree_[choices].items);
  }

  /// A value in the form's own spelling.
  Result<RuleId> Value(JsonId schema, size_t depth) {
    schema = Followed(schema);
    const JsonId named = tree_.Find(schema, "type");
    const std::string_view type = named == kNoJson ? std::string_view() : tree_[named].text;
    const RuleId rule = grammar_.NewRule();
    const bool is_python = format_.form == CallForm::kPython;
    if (type == "boolean"sv && is_python) {
      grammar_.AddWay(rule, Is(pool_.Or(Text("True"), Text("False"))));
      return rule;
    }
    const FlatVector<JsonId> choices = ChoicesOf(schema);
    if (!is_python && !choices.empty()) {
      for (const JsonId choice : choices) {
        const bool is_text = tree_[choice].type == JsonType::kString;
        AddValue(
            rule,
            is_text ? pool_.And(Text(tree_[choice].text), FreeText()) : Text(tree_.Text(choice)),
            is_text);
      }
      return rule;
    }
    if (!is_python && type == "string"sv) {
      GRAFT_ASSIGN_OR_RETURN(const Expression body, PlainText(schema));
      AddValue(rule, body, true);
      return rule;
    }
    const bool is_scalar =
        type == "integer"sv || type == "number"sv || type == "null"sv || type == "boolean"sv;
    if (format_.form == CallForm::kBraces && !is_scalar) {
      GRAFT_ASSIGN_OR_RETURN(const bool is_built, Nested(rule, schema, type, depth));
      if (is_built) return rule;
    }
    // Where neither text nor JSON is said, marks tell texts from others, or all is text.
    if (!is_python && !is_scalar && (type.empty() || format_.form == CallForm::kBraces)) {
      AddValue(rule, FreeText(), true);
      if (format_.form != CallForm::kBraces) return rule;
      for (const char* word : {"true", "false", "null"}) AddValue(rule, Text(word), false);
      GRAFT_ASSIGN_OR_RETURN(const Expression number,
                             ParseRegex(&pool_, "-?(0|[1-9][0-9]*)(\\.[0-9]+)?",
                                        {Spelling::kText, /*is_anchored=*/true}));
      AddValue(rule, number, false);
      return rule;
    }
    GRAFT_ASSIGN_OR_RETURN(const RuleId json, compiler_.CompileAt(schema));
    grammar_.AddWay(rule, {Grammar::Call(json), Is(Text(Behind("")))});
    return rule;
  }

  void AddValue(RuleId rule, Expression body, bool is_text) {
    const bool is_quoted = is_text && form_.end.empty();
    const std::string quote(is_quoted ? format_.quote : std::string_view());
    grammar_.AddWay(rule, {Is(Text(quote)), Is(body), Is(Text(Behind(quote)))});
  }

  /// What stands behind a value.
  std::string Behind(const std::string& quote) const {
    if (format_.form == CallForm::kElements) return "\n" + std::string(form_.end);
    return form_.end.empty() ? quote : std::string(form_.end);
  }

  /// An object or a list within kBraces. False: neither, or too deep.
  Result<bool> Nested(RuleId rule, JsonId schema, std::string_view type, size_t depth) {
    if (depth >= kMaxNested) return false;
    if (type == "object"sv) {
      GRAFT_ASSIGN_OR_RETURN(const RuleId inner, Members(schema, depth + 1, ""));
      grammar_.AddWay(rule, {Is(Text("{")), Grammar::Call(inner), Is(Text("}"))});
      return true;
    }
    const JsonId items = type == "array"sv ? tree_.Find(schema, "items") : kNoJson;
    if (items == kNoJson) return false;
    GRAFT_ASSIGN_OR_RETURN(const RuleId item, Value(items, depth + 1));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t least, Count(schema, "minItems"sv, 0));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t most, Count(schema, "maxItems"sv, kUnbounded));
    if (least == 0) grammar_.AddWay(rule, Is(Text("[]")));
    if (most == 0) return true;
    const RuleId more = grammar_.NewRule();
    grammar_.AddWay(more, {Is(Text(",")), Grammar::Call(item)});
    grammar_.AddWay(rule, {Is(Text("[")), Grammar::Call(item),
                           Grammar::Repeated(more, least == 0 ? 0 : least - 1,
                                             most == kUnbounded ? kUnbounded : most - 1),
                           Is(Text("]"))});
    return true;
  }

  Result<uint32_t> Count(JsonId schema, std::string_view keyword, uint32_t fallback) const {
    const JsonId id = tree_.Find(schema, keyword);
    if (id == kNoJson) return fallback;
    uint64_t count = 0;
    for (const char c : tree_[id].text) {
      if (c < '0' || c > '9' || count > (uint64_t{1} << 40)) {
        return Error(StatusCode::kInvalidArgument, "the schema's '%s' at %s is no count",
                     std::string(keyword).c_str(), tree_.Place(schema).c_str());
      }
      count = count * 10 + static_cast<uint64_t>(c - '0');
    }
    return static_cast<uint32_t>(std::min<uint64_t>(count, kUnbounded - 1));
  }

  /// Any text in which nothing stands that would end it.
  Expression FreeText() {
    const Expression any = pool_.Repeat(any_character_, 0);
    FlatVector<Expression> parts = {any};
    for (const std::string_view end :
         {form_.end.empty() ? format_.quote : form_.end,
          format_.form == CallForm::kElements ? kElementsClose : format_.close}) {
      if (!end.empty()) parts.push_back(pool_.Not(Join({any, Text(end), any})));
    }
    return pool_.And(parts);
  }

  /// A text without quotes or escapes.
  Result<Expression> PlainText(JsonId schema) {
    GRAFT_ASSIGN_OR_RETURN(const uint32_t least, Count(schema, "minLength"sv, 0));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t most, Count(schema, "maxLength"sv, kUnbounded));
    FlatVector<Expression> parts = {pool_.Repeat(any_character_, least, most), FreeText()};
    if (const JsonId pattern = tree_.Find(schema, "pattern"); pattern != kNoJson) {
      GRAFT_ASSIGN_OR_RETURN(const Expression matched,
                             ParseRegex(&pool_, tree_[pattern].text, RegexOptions()));
      parts.push_back(matched);
    }
    return pool_.And(parts);
  }

  const ReplyFormat& format_;
  const FormText form_;
  const JsonTree tree_;
  const bool in_order_;
  SchemaCompiler compiler_;
  Grammar& grammar_;
  ExpressionPool& pool_;
  Expression any_character_ = kEmpty;
};

/// Adds the rule of calls, from behind the mark that opens them to the one that closes them.
Result<RuleId> AddCalls(const ToolSet& tools, const ReplyFormat& format, bool in_order,
                        Grammar* grammar) {
  const auto text = [&](std::string_view literal) {
    return Grammar::Is(grammar->pool().Literal(literal));
  };
  const RuleId call = grammar->NewRule();
  for (const Tool& tool : tools.tools()) {
    Result<JsonTree> tree = tools.ParametersOf(tool);
    if (!tree.ok()) return tree.status().WithContext("tool " + tool.name);
    ToolCompiler compiler(format, std::move(tree).value(), in_order, grammar);
    const Result<RuleId> one = compiler.Compile(tool.name);
    if (!one.ok()) return one.status().WithContext("tool " + tool.name);
    grammar->AddWay(call, Grammar::Call(*one));
  }
  const bool is_list = format.form == CallForm::kList || format.before == "[";
  const bool is_lines = format.form == CallForm::kPython && !is_list;
  const RuleId more = grammar->NewRule();
  grammar->AddWay(more, {text(is_lines ? "\n" : ", "), Grammar::Call(call)});
  const RuleId calls = grammar->NewRule();
  const bool has_brackets = format.form == CallForm::kList;
  const GrammarSymbol open = has_brackets
                                 ? Grammar::Is(grammar->pool().Concat(
                                       grammar->pool().Optional(grammar->pool().Literal(" ")),
                                       grammar->pool().Literal("[")))
                                 : text(format.before);
  FlatVector<GrammarSymbol> symbols = {open, Grammar::Call(call)};
  if (is_list || is_lines) symbols.push_back(Grammar::Repeated(more, 0, kUnbounded));
  symbols.push_back(text(has_brackets ? "]" : format.after));
  symbols.push_back(text(format.close));
  grammar->AddWay(calls, symbols);
  return calls;
}

}  // namespace

Result<Grammar> CompileTools(const ToolSet& tools, const ReplyFormat& format, bool in_order,
                             std::string_view answer_schema) {
  if (tools.tools().empty()) return Status(StatusCode::kInvalidArgument, "there are no tools");
  Grammar grammar;
  GRAFT_ASSIGN_OR_RETURN(RuleId start, AddCalls(tools, format, in_order, &grammar));
  if (!answer_schema.empty()) {
    GRAFT_ASSIGN_OR_RETURN(JsonTree tree, JsonTree::Parse(answer_schema));
    SchemaCompiler compiler(std::move(tree), in_order, &grammar);
    GRAFT_ASSIGN_OR_RETURN(const RuleId answer, compiler.CompileAt(0));
    const GrammarSymbol space = Grammar::Is(grammar.pool().Optional(grammar.pool().Literal("\n")));
    const RuleId marked = grammar.NewRule();
    grammar.AddWay(marked,
                   {Grammar::Is(format.is_bare ? kEmpty : grammar.pool().Literal(format.open)),
                    Grammar::Call(start), space});
    const RuleId either = grammar.NewRule();
    grammar.AddWay(either, Grammar::Call(answer));
    grammar.AddWay(either, Grammar::Repeated(marked, 1, format.is_bare ? 1 : kUnbounded));
    start = either;
  }
  GRAFT_RETURN_IF_ERROR(grammar.Finish(start));
  return grammar;
}

}  // namespace graft::runtime
