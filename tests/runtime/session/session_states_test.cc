// SPDX-License-Identifier: Apache-2.0
// Copies of states: which are kept where there is room for few, and what going back finds.
#include "runtime/session/session_states.h"

#include <cstddef>
#include <cstdint>

#include <doctest/doctest.h>

namespace graft::runtime {
namespace {

constexpr size_t kFloats = 16;

// States that hold the position they are of.
class Counted {
 public:
  explicit Counted(uint64_t copies) {
    StatesLayout layout;
    layout.offsets = {0};
    layout.bytes = kFloats * sizeof(float);
    layout.copies = copies;
    REQUIRE(states_.Create(layout).ok());
  }

  SessionStates& states() { return states_; }
  float held() const { return states_.views()[0][kFloats - 1]; }

  void Pass(size_t tokens, bool wanted) {
    const size_t from = states_.position();
    REQUIRE(held() == static_cast<float>(from));
    states_.Begin();
    for (size_t i = 0; i < kFloats; ++i) states_.views()[0][i] = static_cast<float>(from + tokens);
    states_.Finish(from + tokens, wanted);
  }

  // Where going back to `position` ends up, which is what the states hold.
  size_t GoBack(size_t position) {
    states_.GoBack(position);
    CHECK(held() == static_cast<float>(states_.position()));
    CHECK(states_.position() <= position);
    return states_.position();
  }

 private:
  SessionStates states_;
};

TEST_SUITE("runtime/session_states") {
  TEST_CASE("going back finds the last copy, the states as they are, or zeros") {
    Counted counted(4);
    counted.Pass(5, true);
    counted.Pass(7, false);
    CHECK(counted.GoBack(12) == 12);
    CHECK(counted.GoBack(11) == 5);
    counted.Pass(1, false);
    CHECK(counted.GoBack(6) == 6);
    CHECK(counted.GoBack(4) == 0);
    CHECK(counted.GoBack(0) == 0);
  }

  TEST_CASE("a pass that did not finish is undone") {
    Counted counted(4);
    counted.Pass(5, true);
    counted.Pass(2, false);
    counted.states().Begin();
    counted.states().views()[0][kFloats - 1] = -1.0f;
    CHECK(counted.GoBack(7) == 5);
    counted.states().Begin();
    CHECK(counted.GoBack(3) == 0);
  }

  TEST_CASE("of few copies an early one and a late one stay") {
    Counted counted(2);
    counted.Pass(500, true);
    for (int token = 0; token < 1000; ++token) counted.Pass(1, false);
    CHECK(counted.GoBack(1499) >= 1499 - 128);
    CHECK(counted.GoBack(1000) == 500);
    CHECK(counted.GoBack(499) == 0);
  }

  TEST_CASE("states that were read from a file are a copy, and trimmed ones are none") {
    Counted counted(3);
    counted.Pass(9, true);
    for (size_t i = 0; i < kFloats; ++i) counted.states().views()[0][i] = 40.0f;
    counted.states().Assign(40);
    counted.Pass(3, false);
    CHECK(counted.GoBack(41) == 40);
    CHECK(counted.GoBack(39) == 0);
    counted.Pass(4, true);
    counted.states().Trim();
    CHECK(counted.GoBack(4) == 4);
    counted.Pass(4, false);
    CHECK(counted.GoBack(5) == 0);
    counted.states().Lose();
    CHECK(counted.GoBack(3) == 0);
  }

  TEST_CASE("a graph without states takes nothing") {
    SessionStates states;
    REQUIRE(states.Create({}).ok());
    states.Begin();
    states.Finish(3, true);
    states.GoBack(1);
    CHECK(states.empty());
    CHECK(states.all().empty());
  }
}

}  // namespace
}  // namespace graft::runtime
