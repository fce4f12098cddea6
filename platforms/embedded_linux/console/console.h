// SPDX-License-Identifier: Apache-2.0
// What every command says to the outside: one line for an error, exit codes, JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft_run {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

/// Prints "graft-run: SUBJECT: MESSAGE" to stderr, on one line whatever the two hold; the subject
/// is left out if it is empty or the message starts with it. Returns kExitFailure.
int Fail(std::string_view subject, std::string_view message);
/// The same for a mistake in the command line, with a hint at --help. Returns kExitUsage.
int FailUsage(std::string_view message);

/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string Format(const char* format, ...);

/// Ids as "1,2,3".
std::string JoinIds(const std::vector<int32_t>& ids);

/// `text` as a JSON string, quotes included.
std::string JsonText(std::string_view text);

/// Writes one JSON object, field by field.
class JsonObject {
 public:
  JsonObject& String(const char* key, std::string_view value);
  JsonObject& Number(const char* key, double value);  ///< null if it is not finite
  JsonObject& Integer(const char* key, uint64_t value);
  JsonObject& Bool(const char* key, bool value);
  JsonObject& Object(const char* key, const JsonObject& value);
  JsonObject& Objects(const char* key, const std::vector<JsonObject>& values);
  JsonObject& Ids(const char* key, const std::vector<int32_t>& ids);
  JsonObject& Json(const char* key, std::string_view json);  ///< a value that is JSON already
  std::string Text() const { return "{" + fields_ + "}"; }
  /// The object on a line of its own, to stdout.
  void Print() const;

 private:
  void Key(const char* key);
  std::string fields_;
};

}  // namespace graft_run
