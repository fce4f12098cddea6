// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or the Status that says why there is none.
#pragma once

#include <optional>
#include <utility>

#include "schema/status.h"

namespace graft {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor): return value;
  Result(Status status)
      : status_(std::move(status)) {  // NOLINT(google-explicit-constructor): return status;
    if (status_.ok())
      status_ = Status(StatusCode::kInternal, "a Result was built from an ok Status");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status&& status() && { return std::move(status_); }

  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace graft

#define GRAFT_CONCAT_INNER(a, b) a##b
#define GRAFT_CONCAT(a, b) GRAFT_CONCAT_INNER(a, b)

/// GRAFT_ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or the calling function returns F()'s
/// status.
#define GRAFT_ASSIGN_OR_RETURN(declaration, expression)                 \
  auto GRAFT_CONCAT(graft_result_, __LINE__) = (expression);            \
  if (!GRAFT_CONCAT(graft_result_, __LINE__).ok())                      \
    return std::move(GRAFT_CONCAT(graft_result_, __LINE__)).status();   \
  declaration = /* NOLINT(bugprone-macro-parentheses): a declaration */ \
      std::move(GRAFT_CONCAT(graft_result_, __LINE__)).value()
