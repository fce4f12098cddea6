// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/tool_set.h"

#include <algorithm>

namespace graft::runtime {
namespace {

constexpr size_t kMaxNameBytes = 256;

/// Whether no form of calls takes it for something else.
bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

}  // namespace

Result<ToolSet> ToolSet::Parse(std::string_view json) {
  ToolSet set;
  GRAFT_ASSIGN_OR_RETURN(set.tree_, JsonTree::Parse(json, "list of tools"));
  const JsonTree& tree = set.tree_;
  if (tree[0].type != JsonType::kArray) {
    return Status(StatusCode::kInvalidArgument, "the tools are not a list");
  }
  if (tree[0].items.size() > kMaxTools) {
    return Error(StatusCode::kInvalidArgument, "%zu tools exceed %zu", tree[0].items.size(),
                 kMaxTools);
  }
  for (const JsonId item : tree[0].items) {
    const JsonId inner = tree.Find(item, "function");
    const JsonId function = inner == kNoJson ? item : inner;
    const JsonId name = tree.Find(function, "name");
    if (name == kNoJson || tree[name].type != JsonType::kString || !IsName(tree[name].text)) {
      return Error(StatusCode::kInvalidArgument,
                   "the tool at %s has no \"name\" of letters, digits, '_', '-' and '.'",
                   tree.Place(item).c_str());
    }
    if (set.Find(tree[name].text) != nullptr) {
      return Error(StatusCode::kInvalidArgument, "two tools are called \"%s\"",
                   tree[name].text.c_str());
    }
    const JsonId parameters = tree.Find(function, "parameters");
    const bool is_none = parameters != kNoJson && tree[parameters].type == JsonType::kNull;
    if (parameters != kNoJson && !is_none && !tree.IsObject(parameters)) {
      return Error(StatusCode::kInvalidArgument,
                   "the \"parameters\" of the tool \"%s\" are no object", tree[name].text.c_str());
    }
    set.tools_.push_back({tree[name].text, is_none ? kNoJson : parameters});
  }
  return set;
}

const Tool* ToolSet::Find(std::string_view name) const {
  const auto found = std::ranges::find(tools_, name, &Tool::name);
  return found == tools_.end() ? nullptr : &*found;
}

Result<JsonTree> ToolSet::ParametersOf(const Tool& tool) const {
  constexpr std::string_view kNone = R"({"type":"object","additionalProperties":false})";
  const std::string text =
      tool.parameters == kNoJson ? std::string(kNone) : tree_.Text(tool.parameters);
  GRAFT_ASSIGN_OR_RETURN(JsonTree tree, JsonTree::Parse(text));
  const JsonId object = tree.AddString("object", 0);
  const JsonId type = tree.Find(0, "type");
  if (type == kNoJson) {
    tree.AddMember(0, "type", object);
  } else if (tree[type].text != "object") {
    const auto is_object = [&](JsonId each) { return tree[each].text == "object"; };
    if (std::ranges::none_of(tree[type].items, is_object)) {
      return Status(StatusCode::kUnsupported, "the parameters' type is not \"object\"");
    }
    JsonId all = tree.Find(0, "allOf");
    if (all == kNoJson) {
      all = tree.Add(JsonType::kArray, 0);
      tree.AddMember(0, "allOf", all);
    }
    const JsonId one = tree.Add(JsonType::kObject, 0);
    tree.AddMember(one, "type", object);
    tree.AddItem(all, one);
  }
  return tree;
}

bool ToolSet::Keep(std::string_view name) {
  if (Find(name) == nullptr) return false;
  std::erase_if(tools_, [&](const Tool& tool) { return tool.name != name; });
  return true;
}

ArgumentKind ToolSet::KindOf(std::string_view tool_name, std::string_view argument) const {
  const Tool* const tool = Find(tool_name);
  if (tool == nullptr || tool->parameters == kNoJson) return ArgumentKind::kUnknown;
  const JsonId properties = tree_.Find(tool->parameters, "properties");
  const JsonId schema = properties == kNoJson ? kNoJson : tree_.Find(properties, argument);
  if (schema == kNoJson) return ArgumentKind::kUnknown;
  const auto is_string = [&](JsonId id) { return tree_[id].type == JsonType::kString; };
  if (const JsonId type = tree_.Find(schema, "type"); type != kNoJson) {
    if (tree_[type].type != JsonType::kArray) {
      return tree_[type].text == "string" ? ArgumentKind::kText : ArgumentKind::kOther;
    }
    const bool has_text = std::ranges::any_of(
        tree_[type].items, [&](JsonId item) { return tree_[item].text == "string"; });
    return has_text ? ArgumentKind::kTextOrNull : ArgumentKind::kOther;
  }
  const JsonId choices = tree_.Find(schema, "enum");
  if (choices == kNoJson) return ArgumentKind::kUnknown;
  return std::ranges::all_of(tree_[choices].items, is_string) ? ArgumentKind::kText
                                                              : ArgumentKind::kUnknown;
}

}  // namespace graft::runtime
