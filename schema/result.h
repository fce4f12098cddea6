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
    status_.MustFail();
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status&& status() && { return std::move(status_); }

  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  /// The value of an ok Result, which is done with.
  T&& Take() {
    status_.AssumeOk();
    return *std::move(value_);
  }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace graft

/// GRAFT_ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or the calling function returns F()'s
/// status. The result ends before x begins: were it to last as long, all code behind it would have
/// to unwind it. Source   statement expressions, which GCC and Clang have.
#define GRAFT_ASSIGN_OR_RETURN(declaration, expression)                    \
  declaration = /* NOLINT(bugprone-macro-parentheses): a declaration */    \
      ({                                                                   \
        auto graft_result_ = (expression);                                 \
        if (!graft_result_.ok()) return std::move(graft_result_).status(); \
        graft_result_.Take();                                              \
      })
