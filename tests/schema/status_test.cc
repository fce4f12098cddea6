// SPDX-License-Identifier: Apache-2.0
#include "schema/status.h"

#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "schema/checked_math.h"
#include "schema/result.h"

namespace graft {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return Error(StatusCode::kInvalidArgument, "%d is odd", value);
  return value / 2;
}

Result<int> Quarter(int value) {
  GRAFT_ASSIGN_OR_RETURN(const int half, Half(value));
  return Half(half);
}

TEST_SUITE("schema/status") {
  TEST_CASE("ok carries no message") {
    const Status status;
    CHECK(status.ok());
    CHECK(status.message().empty());
    CHECK(status.WithContext("reading").ok());
  }

  TEST_CASE("an error keeps code and message through copies and context") {
    const Status status = Error(StatusCode::kCorrupt, "tensor %d is short", 7);
    const Status copy = status;
    CHECK(copy.code() == StatusCode::kCorrupt);
    CHECK(copy.message() == "tensor 7 is short");
    CHECK(copy.WithContext("a.graft").message() == "a.graft: tensor 7 is short");
  }

  TEST_CASE("a long message is cut, not overrun") {
    const std::string name(5000, 'x');
    CHECK(Error(StatusCode::kIo, "%s", name.c_str()).message().size() == 1023);
  }

  TEST_CASE("what a terminal would obey is not in a text that is shown") {
    const auto shown = [](std::string text) {
      MakeShowable(text.data(), text.size());
      return text;
    };
    CHECK(shown("") == "");
    CHECK(shown("a\nb\tc\x1B[2Jd\x7F") == "a b c [2Jd ");
    CHECK(shown("caf\xC3\xA9 \xE6\x97\xA5 \xF0\x9F\x98\x80 \xC2\xA0") ==
          "caf\xC3\xA9 \xE6\x97\xA5 \xF0\x9F\x98\x80 \xC2\xA0");
    CHECK(shown("\xC2\x9B\x32J \xC2\x80 \xC2\x9F") == "??2J ?? ??");  // as UTF-8
    CHECK(shown("\x9B\x32J\x80\xFF") == "?2J??");                     // as bytes
    CHECK(shown("\xE0\x82\x9B \xC1\xBF \xED\xA0\x80 \xF4\x90\x80\x80 \xC3") ==
          "??? ?? ??? ???? ?");  // spelled too long, surrogates, cut off
  }

  TEST_CASE("every code has a name of its own") {
    CHECK(std::string(StatusCodeName(StatusCode::kOutOfMemory)) == "out of memory");
    CHECK(std::string(StatusCodeName(static_cast<StatusCode>(12345))) == "unknown status");
  }

  TEST_CASE("results pass values on and stop at the first error") {
    CHECK(*Quarter(12) == 3);
    CHECK(Quarter(3).status().message() == "3 is odd");
    CHECK(Quarter(6).status().message() == "3 is odd");
  }

  TEST_CASE("checked arithmetic notices what does not fit") {
    constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
    uint64_t out = 0;
    CHECK(CheckedMultiply<uint64_t>(1ull << 31, 1ull << 32, &out));
    CHECK_FALSE(CheckedMultiply<uint64_t>(1ull << 32, 1ull << 32, &out));
    CHECK_FALSE(CheckedAdd(kMax, uint64_t{1}, &out));
    CHECK(RangeFits(10, 5, 15));
    CHECK_FALSE(RangeFits(10, 6, 15));
    CHECK_FALSE(RangeFits(16, 0, 15));
    CHECK_FALSE(RangeFits(8, kMax, 15));
    CHECK(CheckedAlignUp(65, 64, &out));
    CHECK(out == 128);
    CHECK_FALSE(CheckedAlignUp(kMax, 64, &out));
  }
}

}  // namespace
}  // namespace graft
