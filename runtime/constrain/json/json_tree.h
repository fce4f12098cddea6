// SPDX-License-Identifier: Apache-2.0
// JsonTree: JSON read within limits, mostly a schema, whose values remember where they stand. The
// compiler adds values of its own, which stand where those do that they were made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/text_numbers.h"
#include "schema/result.h"

namespace graft::runtime {

/// Limits of a schema's text.
inline constexpr size_t kMaxSchemaBytes = size_t{4} << 20;
inline constexpr size_t kMaxSchemaDepth = 200;
inline constexpr size_t kMaxSchemaValues = 300000;

enum class JsonType : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };

/// An index into a JsonTree.
using JsonId = uint32_t;
inline constexpr JsonId kNoJson = UINT32_MAX;

struct JsonNode {
  JsonType type = JsonType::kNull;
  std::string text;                                     ///< a string, or a number as it is written
  std::vector<JsonId> items;                            ///< an array
  std::vector<std::pair<std::string, JsonId>> members;  ///< an object, in the order of the text
  JsonId parent = kNoJson;
  std::string step;  ///< the last step of the JSON pointer to this
};

class JsonTree {
 public:
  /// The root is value 0. `name`: what messages call the text.
  /// Errors   kInvalidArgument: no JSON, not UTF-8, a key twice in one object, or over a limit.
  static Result<JsonTree> Parse(std::string_view text, const char* name = "schema");

  const JsonNode& operator[](JsonId id) const { return nodes_[id]; }
  bool IsObject(JsonId id) const { return nodes_[id].type == JsonType::kObject; }
  bool IsBool(JsonId id) const {
    return nodes_[id].type == JsonType::kTrue || nodes_[id].type == JsonType::kFalse;
  }
  /// The member `key` of an object; kNoJson if there is none, or `id` is no object.
  JsonId Find(JsonId id, std::string_view key) const;
  /// Where the key's length is known nothing has to count it: at -Os that is a call.
  template <size_t N>
  [[gnu::always_inline]] JsonId Find(JsonId id, const char (&key)[N]) const {
    return Find(id, std::string_view(key, __builtin_strlen(key)));
  }
  /// The value at a JSON pointer such as "/$defs/node"; kNoJson if there is none.
  JsonId At(std::string_view pointer) const;
  /// "#/properties/name": for messages.
  std::string Place(JsonId id) const;

  /// Adds a value that stands where `near` does.
  JsonId Add(JsonType type, JsonId near);
  /// Requires that `text` is no value of this tree.
  JsonId AddString(std::string_view text, JsonId near);
  /// Makes a string that was added a number.
  void SetNumber(JsonId added) { nodes_[added].type = JsonType::kNumber; }
  void AddMember(JsonId object, std::string_view key, JsonId value);
  template <size_t N>
  [[gnu::always_inline]] void AddMember(JsonId object, const char (&key)[N], JsonId value) {
    return AddMember(object, std::string_view(key, __builtin_strlen(key)), value);
  }
  void AddItem(JsonId array, JsonId value);
  size_t size() const { return nodes_.size(); }

  /// The value as JSON text without white space and with characters as they are.
  std::string Text(JsonId id) const;

 private:
  friend class JsonReader;
  void NoteLastMember(JsonId object);

  std::vector<JsonNode> nodes_;
  TextNumbers index_;  ///< values of objects with many members, by object and key
};

}  // namespace graft::runtime
