// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/scratch.h"

#include <malloc.h>

#include <utility>

#include <doctest/doctest.h>

namespace graft::converter {
namespace {

// More than malloc ever keeps for itself.
constexpr size_t kCount = size_t{10} << 20;

// Bytes that malloc has from the system for single blocks; 0 where a sanitizer allocates.
size_t HeldBytes() { return mallinfo2().hblkhd; }

TEST_SUITE("converter/scratch") {
  TEST_CASE("numbers that are let go give their memory back") {
    const size_t before = HeldBytes();
    Scratch kept;
    {
      Scratch scratch = Scratch::InMemory(kCount);
      CHECK(scratch.numbers().size() == kCount);
      scratch.Free();
      CHECK(scratch.empty());
      CHECK(HeldBytes() <= before);
      kept = std::move(scratch);
    }
    CHECK(kept.empty());
  }
}

}  // namespace
}  // namespace graft::converter
