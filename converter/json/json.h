// SPDX-License-Identifier: Apache-2.0
// JSON files from outside, read within limits and looked at through accessors that name file and
// key when they fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

enum class JsonKind : uint8_t { kNull, kBool, kInteger, kNumber, kString, kArray, kObject };

/// "null", "a boolean", ... as messages say it.
const char* JsonKindName(JsonKind kind);

struct JsonLimits {
  uint64_t max_bytes = uint64_t{64} << 20;
  int max_depth = 64;
  /// Values of any kind, containers included.
  uint64_t max_values = uint64_t{16} << 20;
};

class JsonDocument;

/// One value of a JsonDocument, which must outlive it. Cheap to copy. Members keep the order of the
/// file.
///
/// Get... functions fail with kCorrupt and a message such as "config.json: 'rope_scaling.factor'
/// must be a number, but is a string". With a fallback, a missing or null member gives the
/// fallback; a member of another kind is still an error.
class JsonValue {
 public:
  JsonKind kind() const;
  bool IsNull() const { return kind() == JsonKind::kNull; }
  bool IsObject() const { return kind() == JsonKind::kObject; }
  bool IsArray() const { return kind() == JsonKind::kArray; }
  bool IsString() const { return kind() == JsonKind::kString; }

  /// Number of members or elements; 0 for anything that is neither object nor array.
  size_t size() const;
  /// Element or member value `index` of an array or object; requires index < size().
  JsonValue at(size_t index) const;
  /// Name of member `index` of an object; requires index < size().
  std::string_view key(size_t index) const;

  /// Whether this is an object with a member `key` that is not null.
  bool Has(std::string_view key) const;
  /// The member; a null value, whose path still names the key's parent, if there is none.
  JsonValue Find(std::string_view key) const;

  /// This value as a bool, number, ... kNumber accepts integers; integers accept nothing else.
  Result<bool> AsBool() const;
  Result<int64_t> AsInt() const;
  Result<double> AsDouble() const;
  /// Valid as long as the document.
  Result<std::string_view> AsString() const;

  /// Members of an object that must be there.
  Result<JsonValue> Get(std::string_view key, JsonKind kind) const;
  Result<bool> GetBool(std::string_view key) const;
  Result<int64_t> GetInt(std::string_view key) const;
  Result<double> GetDouble(std::string_view key) const;
  Result<std::string> GetString(std::string_view key) const;
  /// Members that may be missing or null.
  Result<bool> GetBool(std::string_view key, bool fallback) const;
  Result<int64_t> GetInt(std::string_view key, int64_t fallback) const;
  Result<double> GetDouble(std::string_view key, double fallback) const;
  Result<std::string> GetString(std::string_view key, std::string_view fallback) const;
  /// An array of strings; empty if missing or null.
  Result<std::vector<std::string>> GetStrings(std::string_view key) const;
  /// An integer within [low, high], both included; the message names the limits.
  Result<int64_t> GetIntIn(std::string_view key, int64_t low, int64_t high) const;
  Result<int64_t> GetIntIn(std::string_view key, int64_t low, int64_t high, int64_t fallback) const;

  /// "rope_scaling.factor", "layers[3]"; empty for the root.
  std::string path() const;
  /// An error about this value: "FILE: 'path' MESSAGE".
  Status Fail(std::string_view message, StatusCode code = StatusCode::kCorrupt) const;
  /// This value as JSON text in one line, shortened to about `max_bytes`: for messages.
  std::string Text(size_t max_bytes = 60) const;

 private:
  friend class JsonDocument;
  JsonValue(const JsonDocument* document, uint32_t node) : document_(document), node_(node) {}
  Status WrongKind(std::string_view key, std::string_view wanted) const;

  const JsonDocument* document_;
  uint32_t node_;
};

/// A parsed file. Immutable; safe to read from several threads.
class JsonDocument {
 public:
  /// Reads and parses `file`.
  /// Errors   kNotFound, kIo;
  ///          kCorrupt: larger than the limit, not JSON, not UTF-8, nested too deeply, a key twice
  ///          in one object.
  static Result<std::unique_ptr<JsonDocument>> Read(const std::filesystem::path& file,
                                                    const JsonLimits& limits = {});
  /// Parses `text`; `name` is what messages call it.
  static Result<std::unique_ptr<JsonDocument>> Parse(std::string_view text, std::string name,
                                                     const JsonLimits& limits = {});
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  JsonValue root() const { return JsonValue(this, 0); }
  /// The file's name as messages show it.
  const std::string& name() const { return name_; }

 private:
  friend class JsonValue;
  friend class JsonBuilder;
  struct Node;
  JsonDocument();

  std::string_view KeyOf(const Node& node) const;

  std::string name_;
  std::string text_;              // keys and strings, one after another
  std::vector<Node> nodes_;       // the members of a container lie side by side
  std::vector<uint32_t> by_key_;  // for each object, its members' nodes sorted by key
  uint32_t missing_node_ = 0;     // the null that Find returns
};

/// The whole of `file`, which may not be larger than `max_bytes`.
/// Errors   kNotFound, kIo;
///          kCorrupt: larger than max_bytes. The message names the file.
Result<std::string> ReadTextFile(const std::filesystem::path& file, uint64_t max_bytes);

/// `text` as a JSON string literal, quotes included.
/// Requires UTF-8; other bytes are replaced.
std::string JsonQuote(std::string_view text);

}  // namespace graft::converter
