// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_components.h"

namespace graft::converter {
namespace {

constexpr int kMaxNesting = 8;

Status ForEachAt(const JsonValue& component, const char* list_key, int depth,
                 const std::function<Status(const JsonValue&, const std::string&)>& visit) {
  if (component.IsNull()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string type, component.GetString("type"));
  if (type != "Sequence") return visit(component, type);
  if (depth >= kMaxNesting) return component.Fail("is nested too deeply");
  GRAFT_ASSIGN_OR_RETURN(const JsonValue list, component.Get(list_key, JsonKind::kArray));
  for (size_t i = 0; i < list.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(ForEachAt(list.at(i), list_key, depth + 1, visit));
  }
  return OkStatus();
}

}  // namespace

Status UnknownType(const JsonValue& component, const char* what, const std::string& type) {
  return component.Fail(
      std::string("is a ") + what + " of type " + type + ", which graft does not know",
      StatusCode::kUnsupported);
}

Status ForEachComponent(const JsonValue& component, const char* list_key,
                        const std::function<Status(const JsonValue&, const std::string&)>& visit) {
  return ForEachAt(component, list_key, 0, visit);
}

}  // namespace graft::converter
