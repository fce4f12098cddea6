// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/console/console.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace graft_run {
namespace {

/// Whether a terminal takes what is at `at` for a command, or for no character: control characters,
/// those of C1 (U+0080 to U+009F) too, as UTF-8 and as bytes. *length receives its bytes.
bool IsControl(std::string_view text, size_t at, size_t* length) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  *length = 1;
  if (byte(0) < 0x80) return byte(0) < 0x20 || byte(0) == 0x7F;
  const size_t bytes = byte(0) < 0xC2 ? 0 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return true;
  }
  if (bytes == 0 || byte(0) > 0xF4 || (byte(0) == 0xC2 && byte(1) < 0xA0)) return true;
  *length = bytes;
  return false;
}

void PrintLine(std::string line) {
  size_t length = 0;
  for (size_t at = 0; at < line.size(); at += length) {
    if (IsControl(line, at, &length))
      line[at] = static_cast<unsigned char>(line[at]) < 0x80 ? ' ' : '?';
  }
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace

int Fail(std::string_view subject, std::string_view message) {
  std::string line = "graft-run: ";
  if (!subject.empty() && !message.starts_with(subject)) line.append(subject).append(": ");
  line.append(message);
  PrintLine(std::move(line));
  return kExitFailure;
}

int FailUsage(std::string_view message) {
  std::string line = "graft-run: ";
  line.append(message).append(" (see graft-run --help)");
  PrintLine(std::move(line));
  return kExitUsage;
}

std::string Format(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  std::string text(size > 0 ? static_cast<size_t>(size) : 0, '\0');
  if (size > 0) std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

std::string JoinIds(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  }
  return text;
}

void JsonObject::Key(const char* key) {
  if (!fields_.empty()) fields_ += ", ";
  fields_.append("\"").append(key).append("\": ");
}

std::string JsonText(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    constexpr std::string_view kPlain = "\"\\\n\r\t";
    constexpr std::string_view kEscaped = "\"\\nrt";
    if (const size_t at = kPlain.find(c); at != std::string_view::npos) {
      quoted.append(1, '\\').append(1, kEscaped[at]);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += Format("\\u%04x", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

JsonObject& JsonObject::String(const char* key, std::string_view value) {
  Key(key);
  fields_ += JsonText(value);
  return *this;
}

JsonObject& JsonObject::Json(const char* key, std::string_view json) {
  Key(key);
  fields_ += json;
  return *this;
}

JsonObject& JsonObject::Number(const char* key, double value) {
  Key(key);
  fields_ += std::isfinite(value) ? Format("%.10g", value) : "null";
  return *this;
}

JsonObject& JsonObject::Integer(const char* key, uint64_t value) {
  Key(key);
  fields_ += std::to_string(value);
  return *this;
}

JsonObject& JsonObject::Bool(const char* key, bool value) {
  Key(key);
  fields_ += value ? "true" : "false";
  return *this;
}

JsonObject& JsonObject::Ids(const char* key, const std::vector<int32_t>& ids) {
  Key(key);
  fields_.append("[").append(JoinIds(ids)).append("]");
  return *this;
}

JsonObject& JsonObject::Object(const char* key, const JsonObject& value) {
  Key(key);
  fields_.append("{").append(value.fields_).append("}");
  return *this;
}

JsonObject& JsonObject::Objects(const char* key, const std::vector<JsonObject>& values) {
  Key(key);
  fields_ += '[';
  for (size_t i = 0; i < values.size(); ++i)
    fields_.append(i == 0 ? "{" : ", {").append(values[i].fields_).append("}");
  fields_ += ']';
  return *this;
}

void JsonObject::Print() const { std::printf("{%s}\n", fields_.c_str()); }

}  // namespace graft_run
