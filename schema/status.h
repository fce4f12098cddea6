// SPDX-License-Identifier: Apache-2.0
// Status: what went wrong, as a stable code and a sentence that travels up to whoever can show it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace graft {

/// Numbered in blocks and never renumbered: the same values cross the C interface.
enum class StatusCode : int32_t {
  kOk = 0,
  // 1-19: the caller
  kInvalidArgument = 1,  ///< An argument is null, out of its range, or contradicts another.
  /// More tokens than the context holds, an id beyond the vocabulary, and the like.
  kOutOfRange = 2,
  kFailedPrecondition = 3,  ///< The call is right, the moment is not.
  kUnsupported = 4,         ///< Well formed, but this build does not do it.
  // 20-39: bytes from outside
  kCorrupt = 20,             ///< The bytes contradict themselves or their checksum.
  kUnsupportedVersion = 21,  ///< A file of a format version this build does not read.
  /// Two inputs that do not belong together (adapter and base, file and tokenizer).
  kMismatch = 22,
  // 40-59: the machine
  kNotFound = 40,     ///< No such file or folder.
  kIo = 41,           ///< Reading or writing failed.
  kOutOfMemory = 42,  ///< An allocation failed, or a budget would be exceeded.
  // 60-79: the run
  kCancelled = 60,  ///< Someone asked it to stop.
  kInternal = 61,   ///< A fault of graft's own.
};

/// "ok", "invalid argument", ...: one for each code, in lower case, for messages.
const char* StatusCodeName(StatusCode code);

/// A code and, unless ok, a sentence. Ok allocates nothing; if the sentence cannot be allocated the
/// code survives. Nothing here throws, so that whoever reports a failure needs no code to unwind.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string_view message) noexcept;
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  Status(const Status& other) noexcept;
  Status& operator=(const Status& other) noexcept;
  ~Status() = default;

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  std::string_view message() const { return text_ ? std::string_view(*text_) : std::string_view(); }

  /// The same code with "context: " put before the message.
  Status WithContext(std::string_view context) const noexcept;

  /// Makes an ok status one of kInternal: for a Result that is built from it.
  void MustFail() noexcept;
  /// Requires ok(). What destroys this then knows that there is no sentence to free.
  void AssumeOk() { (void)text_.release(); }

 private:
  // Not inline: statuses go out of scope everywhere.
  struct FreeText {
    void operator()(std::string* text) const noexcept;
  };

  StatusCode code_ = StatusCode::kOk;
  std::unique_ptr<std::string, FreeText> text_;
};

inline Status OkStatus() { return Status(); }

/// Makes text that may quote a file fit for a line of a terminal, in place: control characters become
/// spaces, and '?' each byte of C1 control characters (U+0080 to U+009F) and of what is no UTF-8.
void MakeShowable(char* text, size_t size);

/// Builds the status of `code` from a printf format.
[[gnu::format(printf, 2, 3)]] Status Error(StatusCode code, const char* format, ...) noexcept;

}  // namespace graft

/// Returns from the calling function if `expression` is a Status that is not ok.
#define GRAFT_RETURN_IF_ERROR(expression)          \
  do {                                             \
    ::graft::Status graft_status_ = (expression);  \
    if (!graft_status_.ok()) return graft_status_; \
    graft_status_.AssumeOk();                      \
  } while (false)
