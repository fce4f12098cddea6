// SPDX-License-Identifier: Apache-2.0
#include "schema/status.h"

#include <cstdarg>
#include <cstdio>
#include <new>

namespace graft {

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

Status Error(StatusCode code, const char* format, ...) noexcept {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return Status(code, text);
}

}  // namespace graft
