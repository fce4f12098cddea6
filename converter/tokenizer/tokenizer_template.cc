// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_template.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "converter/tokenizer/tokenizer_components.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

using Part = PostProcessor::Part;

constexpr int32_t kFirstText = -1;
constexpr int32_t kSecondText = -2;

Result<uint32_t> ReadTypeId(const JsonValue& piece) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t type, piece.GetIntIn("type_id", 0, schema::kMaxTypeId, 0));
  return static_cast<uint32_t>(type);
}

Result<int32_t> ReadId(const JsonValue& where, size_t tokens) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t id, where.AsInt());
  if (id >= 0 && static_cast<size_t>(id) < tokens) return static_cast<int32_t>(id);
  return where.Fail("is " + std::to_string(id) + ", and there are " + std::to_string(tokens) +
                    " tokens");
}

/// One list of a TemplateProcessing: "single" or "pair".
Result<std::vector<Part>> ReadParts(const JsonValue& component, const char* key, size_t tokens) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue list, component.Get(key, JsonKind::kArray));
  std::vector<Part> parts;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonValue piece = list.at(i);
    if (piece.Has("Sequence")) {
      const JsonValue sequence = piece.Find("Sequence");
      GRAFT_ASSIGN_OR_RETURN(const JsonValue id, sequence.Get("id", JsonKind::kString));
      const std::string_view name = id.AsString().value();
      if (name != "A" && name != "B") return sequence.Fail("is neither A nor B");
      GRAFT_ASSIGN_OR_RETURN(const uint32_t type, ReadTypeId(sequence));
      parts.push_back({name == "A" ? kFirstText : kSecondText, type});
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const JsonValue token, piece.Get("SpecialToken", JsonKind::kObject));
    GRAFT_ASSIGN_OR_RETURN(const std::string name, token.GetString("id"));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t type, ReadTypeId(token));
    const JsonValue definition = component.Find("special_tokens").Find(name);
    if (definition.IsNull()) return token.Fail("names a token that special_tokens does not have");
    GRAFT_ASSIGN_OR_RETURN(const JsonValue ids, definition.Get("ids", JsonKind::kArray));
    for (size_t k = 0; k < ids.size(); ++k) {
      GRAFT_ASSIGN_OR_RETURN(const int32_t id, ReadId(ids.at(k), tokens));
      parts.push_back({id, type});
    }
  }
  const auto count = [&](int32_t text) {
    return std::count_if(parts.begin(), parts.end(), [&](const Part& p) { return p.id == text; });
  };
  const int64_t seconds = count(kSecondText);
  const bool is_pair = std::string_view(key) == "pair";
  if (count(kFirstText) != 1 || seconds != (is_pair ? 1 : 0)) {
    return list.Fail(is_pair ? "does not have each sequence once" : "does not have sequence A once",
                     StatusCode::kUnsupported);
  }
  return parts;
}

/// Puts what one post-processor gives around what those before it gave.
void Surround(const std::vector<Part>& single, PostProcessor* result) {
  const auto text = std::find_if(single.begin(), single.end(),
                                 [](const Part& part) { return part.id == kFirstText; });
  std::vector<uint32_t> prefix;
  for (auto part = single.begin(); part != text; ++part) {
    prefix.push_back(static_cast<uint32_t>(part->id));
  }
  result->prefix.insert(result->prefix.begin(), prefix.begin(), prefix.end());
  for (auto part = text + 1; part != single.end(); ++part) {
    result->suffix.push_back(static_cast<uint32_t>(part->id));
  }
  std::vector<Part> whole = single;
  if (!result->single.empty()) {
    const auto at = whole.erase(whole.begin() + (text - single.begin()));
    whole.insert(at, result->single.begin(), result->single.end());
  }
  result->single = std::move(whole);
}

Status ReadTemplate(const JsonValue& component, size_t tokens, PostProcessor* result) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Part> single, ReadParts(component, "single", tokens));
  Surround(single, result);
  if (!component.Has("pair")) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(result->pair, ReadParts(component, "pair", tokens));
  return OkStatus();
}

/// BertProcessing and RobertaProcessing: "cls" before, "sep" after, each ["text", id]. Of a pair
/// the second text is followed by another "sep"; RoBERTa's has one before it too, and no types.
Status ReadClassifierMarks(const JsonValue& component, bool is_roberta, size_t tokens,
                           PostProcessor* result) {
  const auto read = [&](const char* key) -> Result<int32_t> {
    GRAFT_ASSIGN_OR_RETURN(const JsonValue pair, component.Get(key, JsonKind::kArray));
    if (pair.size() != 2) return pair.Fail("must hold a token and its id");
    return ReadId(pair.at(1), tokens);
  };
  GRAFT_ASSIGN_OR_RETURN(const int32_t cls, read("cls"));
  GRAFT_ASSIGN_OR_RETURN(const int32_t sep, read("sep"));
  Surround({{cls, 0}, {kFirstText, 0}, {sep, 0}}, result);
  result->pair = {{cls, 0}, {kFirstText, 0}, {sep, 0}};
  if (is_roberta) result->pair.push_back({sep, 0});
  const uint32_t type = is_roberta ? 0 : 1;
  result->pair.push_back({kSecondText, type});
  result->pair.push_back({sep, type});
  return OkStatus();
}

}  // namespace

Result<PostProcessor> ReadPostProcessor(const JsonValue& post_processor, size_t tokens) {
  PostProcessor result;
  GRAFT_RETURN_IF_ERROR(ForEachComponent(
      post_processor, "processors", [&](const JsonValue& component, const std::string& type) {
        if (type == "ByteLevel") return OkStatus();  // concerns offsets only
        if (type == "TemplateProcessing") return ReadTemplate(component, tokens, &result);
        if (type == "BertProcessing" || type == "RobertaProcessing") {
          return ReadClassifierMarks(component, type == "RobertaProcessing", tokens, &result);
        }
        return UnknownType(component, "post-processor", type);
      }));
  if (std::max(result.prefix.size(), result.suffix.size()) > schema::kMaxSpecialIds ||
      result.pair.size() > 2 * size_t{schema::kMaxSpecialIds}) {
    return post_processor.Fail("puts too many tokens around a text");
  }
  const bool has_types = std::any_of(result.single.begin(), result.single.end(),
                                     [](const Part& part) { return part.type_id != 0; });
  if (!has_types) result.single.clear();
  return result;
}

}  // namespace graft::converter
