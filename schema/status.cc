// SPDX-License-Identifier: Apache-2.0
#include "schema/status.h"

#include <cstdarg>
#include <cstdio>
#include <new>

namespace graft {
namespace {

/// Bytes of the character at `text`, of `size` bytes; 0: it is none, or C1.
size_t ShownBytes(const char* text, size_t size) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0 || length > size) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // What is spelled too long, a surrogate, or beyond Unicode.
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) >= 0xA0) ||
      (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90)) {
    return 0;
  }
  return lead == 0xC2 && byte(1) < 0xA0 ? 0 : length;
}

}  // namespace

void MakeShowable(char* text, size_t size) {
  for (size_t at = 0; at < size;) {
    const size_t length = ShownBytes(text + at, size - at);
    if (length == 0) text[at] = '?';
    if (length == 1 && (static_cast<uint8_t>(text[at]) < 0x20 || text[at] == 0x7F)) text[at] = ' ';
    at += length == 0 ? 1 : length;
  }
}

const char* StatusCodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid argument";
    case StatusCode::kOutOfRange:
      return "out of range";
    case StatusCode::kFailedPrecondition:
      return "failed precondition";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kCorrupt:
      return "corrupt";
    case StatusCode::kUnsupportedVersion:
      return "unsupported version";
    case StatusCode::kMismatch:
      return "mismatch";
    case StatusCode::kNotFound:
      return "not found";
    case StatusCode::kIo:
      return "i/o error";
    case StatusCode::kOutOfMemory:
      return "out of memory";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kInternal:
      return "internal error";
  }
  return "unknown status";
}

void Status::FreeText::operator()(std::string* text) const noexcept { delete text; }

Status::Status(StatusCode code, std::string_view message) noexcept : code_(code) {
  if (code == StatusCode::kOk) return;
  try {
    text_.reset(new std::string(message));
  } catch (const std::bad_alloc&) {  // then the code alone must do
  }
}

Status::Status(const Status& other) noexcept : Status(other.code_, other.message()) {}

Status& Status::operator=(const Status& other) noexcept {
  if (this != &other) *this = Status(other.code_, other.message());
  return *this;
}

Status Status::WithContext(std::string_view context) const noexcept {
  if (ok()) return Status();
  try {
    std::string text(context);
    text += ": ";
    text += message();
    return Status(code_, text);
  } catch (const std::bad_alloc&) {
    return *this;
  }
}

void Status::MustFail() noexcept {
  if (ok()) *this = Status(StatusCode::kInternal, "a Result was built from an ok Status");
}

Status Error(StatusCode code, const char* format, ...) noexcept {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return Status(code, text);
}

}  // namespace graft
