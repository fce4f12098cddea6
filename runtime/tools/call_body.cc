// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/call_body.h"

#include <iterator>
#include <utility>

#include "runtime/constrain/characters.h"
#include "runtime/constrain/json/json_tree.h"
#include "runtime/tools/call_values.h"

namespace graft::runtime {
namespace {

/// One call as JSON.
bool AddObject(const JsonTree& tree, JsonId id, std::vector<ToolCall>* calls) {
  if (!tree.IsObject(id)) return false;
  const auto text = [&](JsonId object, std::string_view key) {
    const JsonId member = tree.Find(object, key);
    return member != kNoJson && tree[member].type == JsonType::kString ? tree[member].text
                                                                       : std::string();
  };
  const JsonId inner = tree.Find(id, "function");
  const JsonId function = inner != kNoJson && tree.IsObject(inner) ? inner : id;
  ToolCall call;
  call.name = text(function, "name");
  if (call.name.empty()) call.name = text(function, "function");
  call.id = text(id, "id");
  if (call.name.empty() || call.name.size() > kMaxCallNameBytes) return false;
  JsonId arguments = tree.Find(function, "arguments");
  if (arguments == kNoJson) arguments = tree.Find(function, "parameters");
  if (arguments == kNoJson) return false;
  if (tree[arguments].type == JsonType::kString) {  // JSON within a text
    JsonTree written;
    if (!ReadTree(tree[arguments].text, &written) || !written.IsObject(0)) return false;
    call.arguments = written.Text(0);
  } else if (tree.IsObject(arguments)) {
    call.arguments = tree.Text(arguments);
  } else {
    return false;
  }
  calls->push_back(std::move(call));
  return true;
}

bool ReadJson(std::string_view body, std::vector<ToolCall>* calls) {
  JsonTree tree;
  if (!ReadTree(body, &tree)) return false;
  if (tree[0].type != JsonType::kArray) return AddObject(tree, 0, calls);
  for (const JsonId item : tree[0].items) {
    if (!AddObject(tree, item, calls)) return false;
  }
  return true;
}

/// Adds a call whose arguments were written as JSON here: a name twice shows only now.
bool AddChecked(ToolCall call, std::vector<ToolCall>* calls) {
  if (call.name.empty() || call.name.size() > kMaxCallNameBytes) return false;
  JsonTree tree;
  if (!ReadTree(call.arguments, &tree) || !tree.IsObject(0)) return false;
  calls->push_back(std::move(call));
  return true;
}

bool ReadPythonCall(ValueReader* reader, std::vector<ToolCall>* calls) {
  constexpr std::string_view kMethod = ".call";  // of what is built in: brave_search.call(...)
  ToolCall call;
  std::string_view name = reader->TakeName();
  if (name.ends_with(kMethod)) name.remove_suffix(kMethod.size());
  call.name = name;
  return reader->ReadKeywords(&call.arguments) && AddChecked(std::move(call), calls);
}

bool ReadPython(std::string_view body, std::vector<ToolCall>* calls) {
  ValueReader reader(body, {});
  if (!reader.Take('[')) {  // one on each line
    do {
      if (!ReadPythonCall(&reader, calls)) return false;
    } while (!reader.AtEnd());
    return true;
  }
  do {
    if (reader.Peek() == ']') break;
    if (!ReadPythonCall(&reader, calls)) return false;
  } while (reader.Take(','));
  return reader.Take(']') && reader.AtEnd();
}

bool ReadBraces(std::string_view body, std::string_view quote, std::vector<ToolCall>* calls) {
  ValueReader reader(body, quote);
  if (!reader.TakeText("call:")) return false;
  ToolCall call;
  call.name = reader.TakeName();
  return reader.ReadMembers(&call.arguments, 0) && reader.AtEnd() &&
         AddChecked(std::move(call), calls);
}

/// name, perhaps [CALL_ID] and an id, perhaps [ARGS], and JSON.
bool ReadHead(std::string_view body, std::vector<ToolCall>* calls) {
  ValueReader reader(body, {});
  ToolCall call;
  call.name = reader.TakeName();
  if (reader.TakeText("[CALL_ID]")) call.id = reader.TakeName();
  reader.TakeText("[ARGS]");
  JsonTree tree;
  if (!ReadTree(reader.rest(), &tree)) return false;
  call.arguments = tree.Text(0);
  return AddChecked(std::move(call), calls);
}

/// A value between marks, in forms that do not tell what it is.
std::string ValueOf(std::string_view text, ArgumentKind kind) {
  std::string literal;
  if (kind == ArgumentKind::kTextOrNull && text == "null") return "null";
  if (kind == ArgumentKind::kUnknown || kind == ArgumentKind::kOther) literal = LiteralAsJson(text);
  return literal.empty() ? QuoteJson(text) : literal;
}

/// What stands before `end`, which is taken too.
bool TakeUntil(std::string_view end, std::string_view* text, std::string_view* taken) {
  const size_t at = text->find(end);
  if (at == std::string_view::npos) return false;
  *taken = text->substr(0, at);
  text->remove_prefix(at + end.size());
  return true;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsCallSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsCallSpace(text.back())) text.remove_suffix(1);
  return text;
}

/// The marks of kElements and kPairs.
struct Marks {
  std::string_view open;
  std::string_view key_end;
  std::string_view value_open;
  std::string_view value_end;
};
constexpr Marks kElements = {"<parameter=", ">", "", "</parameter>"};
constexpr Marks kPairs = {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"};

/// Names and values between marks, up to the end of `text`.
bool ReadMarked(std::string_view text, const Marks& marks, const ToolSet* tools, ToolCall* call) {
  call->arguments = "{";
  for (text = Trimmed(text); !text.empty(); text = Trimmed(text)) {
    if (!text.starts_with(marks.open)) return false;
    text.remove_prefix(marks.open.size());
    std::string_view key;
    std::string_view value;
    std::string_view between;
    if (!TakeUntil(marks.key_end, &text, &key)) return false;
    key = Trimmed(key);
    if (!marks.value_open.empty()) {
      if (!TakeUntil(marks.value_open, &text, &between) || !Trimmed(between).empty()) return false;
    }
    if (!TakeUntil(marks.value_end, &text, &value)) return false;
    if (marks.value_open.empty()) {  // values stand on lines of their own
      if (value.starts_with('\n')) value.remove_prefix(1);
      if (value.ends_with('\n')) value.remove_suffix(1);
    }
    const ArgumentKind kind =
        tools == nullptr ? ArgumentKind::kUnknown : tools->KindOf(call->name, key);
    if (call->arguments.size() > 1) call->arguments.push_back(',');
    call->arguments.append(QuoteJson(key)).append(":").append(ValueOf(value, kind));
  }
  call->arguments.push_back('}');
  return true;
}

bool ReadElements(std::string_view body, const ToolSet* tools, std::vector<ToolCall>* calls) {
  body.remove_prefix(kElementsOpen.size());
  if (!body.ends_with(kElementsClose)) return false;
  body.remove_suffix(kElementsClose.size());
  std::string_view name;
  if (!TakeUntil(">", &body, &name)) return false;
  ToolCall call;
  call.name = Trimmed(name);
  return ReadMarked(body, kElements, tools, &call) && AddChecked(std::move(call), calls);
}

bool ReadPairs(std::string_view body, const ToolSet* tools, std::vector<ToolCall>* calls) {
  ToolCall call;
  size_t name = 0;
  while (name < body.size() && IsCallNameByte(body[name])) ++name;
  call.name = body.substr(0, name);
  if (!ReadMarked(body.substr(name), kPairs, tools, &call)) return false;
  // A word alone is a call only if it is known to be one.
  const bool is_known = tools != nullptr && tools->Find(call.name) != nullptr;
  return (is_known || call.arguments != "{}") && AddChecked(std::move(call), calls);
}

bool ReadAny(std::string_view body, std::string_view quote, const ToolSet* tools,
             std::vector<ToolCall>* calls) {
  if (body.empty()) return false;
  if (body[0] == '{') return ReadJson(body, calls);
  if (body[0] == '[') {
    const std::string_view inner = Trimmed(body.substr(1));
    return inner.starts_with('{') || inner == "]" ? ReadJson(body, calls) : ReadPython(body, calls);
  }
  if (body.starts_with(kElementsOpen)) return ReadElements(body, tools, calls);
  size_t name = 0;
  while (name < body.size() && IsCallNameByte(body[name])) ++name;
  const char next = name < body.size() ? body[name] : '\0';
  if (next == ':') return !quote.empty() && ReadBraces(body, quote, calls);
  if (next == '(') return ReadPython(body, calls);
  if (next == '{' || next == '[') return ReadHead(body, calls);
  return ReadPairs(body, tools, calls);
}

}  // namespace

bool ReadCalls(std::string_view body, std::string_view quote, const ToolSet* tools,
               std::vector<ToolCall>* calls) {
  std::vector<ToolCall> read;
  if (!ReadAny(Trimmed(body), quote, tools, &read)) return false;
  calls->insert(calls->end(), std::make_move_iterator(read.begin()),
                std::make_move_iterator(read.end()));
  return true;
}

}  // namespace graft::runtime
