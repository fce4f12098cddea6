// SPDX-License-Identifier: Apache-2.0
#include "schema/container.h"

#include <cstring>
#include <vector>

#include <doctest/doctest.h>

namespace graft::schema {
namespace {

Preamble Example() {
  Preamble preamble;
  preamble.file_bytes = 70000;
  preamble.header_bytes = 1234;
  preamble.header_checksum = 0x0123456789abcdef;
  return preamble;
}

TEST_SUITE("schema/container") {
  TEST_CASE("a preamble reads back as it was written") {
    const auto bytes = EncodePreamble(Example());
    const Result<Preamble> read = DecodePreamble(bytes, 70000);
    REQUIRE(read.ok());
    CHECK(read->format_version == kFormatVersion);
    CHECK(read->file_bytes == 70000);
    CHECK(read->header_offset == 64);
    CHECK(read->header_bytes == 1234);
    CHECK(read->header_checksum == 0x0123456789abcdef);
  }

  TEST_CASE("the numbers lie where FORMAT.md says, little-endian") {
    const auto bytes = EncodePreamble(Example());
    CHECK(std::memcmp(bytes.data(), "\x89GRAFT\r\n", 8) == 0);
    CHECK(bytes[8] == 1);
    CHECK(bytes[12] == 64);
    CHECK(bytes[16] == (70000 & 0xff));
    CHECK(bytes[17] == (70000 >> 8 & 0xff));
    CHECK(bytes[40] == 0xef);
    CHECK(bytes[47] == 0x01);
  }

  TEST_CASE("every single flipped bit is refused") {
    const auto good = EncodePreamble(Example());
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      auto bytes = good;
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      CAPTURE(bit);
      CHECK_FALSE(DecodePreamble(bytes, 70000).ok());
    }
  }

  TEST_CASE("every length shorter than the preamble is refused") {
    const auto good = EncodePreamble(Example());
    for (size_t length = 0; length < good.size(); ++length) {
      const std::vector<uint8_t> cut(good.begin(),
                                     good.begin() + static_cast<std::ptrdiff_t>(length));
      CHECK(DecodePreamble(cut, length).status().code() == StatusCode::kCorrupt);
    }
  }

  TEST_CASE("sizes that lie are refused even when the checksum is right") {
    const auto code_of = [](const Preamble& preamble) {
      return DecodePreamble(EncodePreamble(preamble), 70000).status().code();
    };
    Preamble preamble = Example();
    preamble.file_bytes = 70001;
    CHECK(code_of(preamble) == StatusCode::kCorrupt);
    preamble = Example();
    preamble.header_bytes = 70000 - 63;
    CHECK(code_of(preamble) == StatusCode::kCorrupt);
    preamble.header_bytes = ~uint64_t{0};
    CHECK(code_of(preamble) == StatusCode::kCorrupt);
    preamble = Example();
    preamble.header_offset = 128;
    CHECK(code_of(preamble) == StatusCode::kCorrupt);
    preamble = Example();
    preamble.format_version = 2;
    CHECK(code_of(preamble) == StatusCode::kUnsupportedVersion);
  }

  TEST_CASE("hashes are the published XXH3 values, and a split does not change them") {
    // XXH3-64 and XXH3-128 of no bytes with seed 0, as the reference implementation gives them.
    CHECK(Checksum64({}) == 0x2d06800538d394c2ull);
    const Hash128 empty = ContentHash({}, {});
    CHECK(empty.high == 0x99aa06d3014798d8ull);
    CHECK(empty.low == 0x6001c324468d497full);

    std::vector<uint8_t> bytes(1000);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31);
    const std::span<const uint8_t> all(bytes);
    CHECK(ContentHash(all, {}) == ContentHash(all.first(333), all.subspan(333)));
  }
}

}  // namespace
}  // namespace graft::schema
