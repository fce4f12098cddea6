// SPDX-License-Identifier: Apache-2.0
// Calls one function of graft.h again and again, each time with another of its allocations failing.
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/support/failing_allocations.h"

namespace graft::test {

/// Functions that were swept.
inline std::set<std::string> swept;

/// One call of a function. `Out` is what it fills in: a struct that bytes can be copied of.
template <typename Out>
struct SweptCall {
  const char* function;
  std::function<graft_status(Out*, graft_error*)> call;
  /// What a call that went well gave.
  std::function<std::string(const Out&)> result = [](const Out&) { return std::string(); };
  graft_status expected =
      GRAFT_OK;  ///< where no allocation fails, or where the failure is absorbed
  /// Brings everything to where the call is to start from.
  std::function<void()> ready = [] {};
  /// What a failed call must leave as it was. Empty: it may change, and `ready` comes before a call
  /// that is to go well.
  std::function<std::string()> state = {};
  std::function<void(Out*)> set = [](Out*) {};               ///< struct_size and the like
  std::function<void(const Out&)> free = [](const Out&) {};  ///< what a call that went well made
  std::function<void()> afterwards = [] {};                  ///< checks what is left behind
};

/// Of `count` allocations those that fail: some, all of them where there are few or where
/// GRAFT_TEST_EVERY_ALLOCATION is set.
inline std::vector<size_t> FailingOnes(size_t count) {
#ifdef GRAFT_TEST_SOME
  constexpr size_t kSome = 4;  // where an allocation fails, no CPU does anything else
#elif defined(GRAFT_TEST_EMULATED) || defined(__SANITIZE_THREAD__)
  constexpr size_t kSome = 12;
#else
  constexpr size_t kSome = 60;
#endif
  const bool all = std::getenv("GRAFT_TEST_EVERY_ALLOCATION") != nullptr || count <= kSome;
  std::vector<size_t> chosen;
  for (size_t nth = 1; nth <= count; nth += all ? 1 : 1 + nth * 2 / kSome) chosen.push_back(nth);
  return chosen;
}

template <typename Out>
class Sweep {
 public:
  explicit Sweep(SweptCall<Out> swept_call) : call_(std::move(swept_call)) {
    swept.insert(call_.function);
    CAPTURE(call_.function);
    call_.ready();
    const size_t count = Call(static_cast<size_t>(-1), Failing::kOne);
    REQUIRE_MESSAGE(status_ == call_.expected, error_.message);
    expected_ = Result();
    for (const Failing failing : {Failing::kOne, Failing::kAllFromThenOn}) {
      for (const size_t nth : FailingOnes(count)) {
        CAPTURE(nth);
        CAPTURE(static_cast<int>(failing));
        Fail(nth, failing);
      }
    }
  }

 private:
  /// Returns how many allocations there were.
  size_t Call(size_t nth, Failing failing) {
    std::memset(static_cast<void*>(&out_), 0xA5, sizeof(out_));
    call_.set(&out_);
    std::memcpy(static_cast<void*>(&before_), &out_, sizeof(out_));
    error_ = {};
    const FailingAllocations fail(nth, failing);
    status_ = call_.call(&out_, &error_);
    return AllocationsCounted();
  }

  std::string Result() {
    if (status_ != GRAFT_OK) return "";
    const std::string result = call_.result(out_);
    call_.free(out_);
    return result;
  }

  void Fail(size_t nth, Failing failing) {
    call_.ready();
    const std::string state = call_.state ? call_.state() : "";
    Call(nth, failing);
    if (status_ == call_.expected) {  // done without, or it was not needed this time
      CHECK(Result() == expected_);
      call_.ready();
    } else {
      CAPTURE(error_.message);
      CHECK(status_ == GRAFT_OUT_OF_MEMORY);
      CHECK(error_.code == status_);
      CHECK(std::memcmp(&before_, &out_, sizeof(out_)) == 0);
      if (call_.state) {
        CHECK(call_.state() == state);
      } else {
        call_.ready();
      }
    }
    call_.afterwards();
    // As if nothing had been.
    Call(static_cast<size_t>(-1), Failing::kOne);
    CAPTURE(error_.message);
    CHECK(status_ == call_.expected);
    CHECK(Result() == expected_);
  }

  SweptCall<Out> call_;
  Out out_, before_;
  graft_error error_ = {};
  graft_status status_ = GRAFT_OK;
  std::string expected_;
};
template <typename Out>
Sweep(SweptCall<Out>) -> Sweep<Out>;

}  // namespace graft::test
