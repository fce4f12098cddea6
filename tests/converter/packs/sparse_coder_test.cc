// SPDX-License-Identifier: Apache-2.0
// Sparse bytes: what the coder writes is read back, what it would not write is refused.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/packs/entropy_encoder.h"
#include "converter/packs/sparse_encoder.h"
#include "schema/packs/sparse_bytes.h"
#include "tests/support/plain_pack.h"

namespace graft::converter {
namespace {

using Bytes = std::vector<uint8_t>;

// Fails where a place is not within the run, or not after the one before it.
bool Reads(const Bytes& coded, size_t count, Bytes* read, std::string* message = nullptr) {
  schema::SparseDecoder decoder;
  const auto sparse = decoder.Decode(coded, count);
  if (message != nullptr) *message = std::string(sparse.status().message());
  if (!sparse.ok()) {
    Bytes scattered(count);
    CHECK_FALSE(schema::SparseDecoder().Scatter(coded, count, scattered.data(), 0).ok());
    return false;
  }
  read->assign(count, 0);
  for (size_t i = 0; i < sparse->size(); ++i) {
    const schema::SparseByte byte = (*sparse)[i];
    REQUIRE(byte.place() < count);
    REQUIRE((i == 0 || byte.place() > (*sparse)[i - 1].place()));
    REQUIRE(byte.value() != 0);
    (*read)[byte.place()] = byte.value();
  }
  for (const uint32_t stride_bits : {0u, 1u}) {
    Bytes scattered(count << stride_bits);
    REQUIRE(decoder.Scatter(coded, count, scattered.data(), stride_bits).ok());
    for (size_t i = 0; i < count; ++i) REQUIRE(scattered[i << stride_bits] == (*read)[i]);
  }
  return true;
}

void CheckBothWays(const Bytes& bytes) {
  Bytes coded, read;
  EncodeSparse(bytes, &coded);
  REQUIRE(Reads(coded, bytes.size(), &read));
  CHECK(read == bytes);
  REQUIRE(Reads(test::PlainSparse(bytes), bytes.size(), &read));
  CHECK(read == bytes);
}

std::string Refusal(const Bytes& coded, size_t count) {
  Bytes read;
  std::string message;
  return Reads(coded, count, &read, &message) ? "none" : message;
}

TEST_SUITE("converter/packs") {
  TEST_CASE("bytes between zeros are read back, by a coder and by hand") {
    std::mt19937 random(7);
    for (const int one_in : {2, 5, 25, 1000}) {
      for (const unsigned kinds : {1u, 2u, 9u, 255u}) {
        CAPTURE(one_in);
        CAPTURE(kinds);
        Bytes bytes(5001);
        for (uint8_t& byte : bytes) {
          if (random() % static_cast<unsigned>(one_in) == 0)
            byte = static_cast<uint8_t>(1 + random() % kinds);
        }
        bytes[random() % bytes.size()] = 255;
        CheckBothWays(bytes);
      }
    }
    for (const size_t count : {1, 2, 3, 4, 5, 8, 9}) CheckBothWays(Bytes(count, 7));
    // Far apart, at the ends, and gaps of all sizes around what an entry holds.
    Bytes alone(200000);
    alone.back() = 1;
    CheckBothWays(alone);
    alone.front() = 2;
    CheckBothWays(alone);
    for (size_t gap = 25, at = 0; gap < 70 && at < alone.size(); at += ++gap) alone[at] = 3;
    CheckBothWays(alone);
    // One value in a thousand each: codes would be longer than they may be.
    Bytes skewed(4000, 0);
    for (size_t i = 0; i < skewed.size(); i += 2)
      skewed[i] = static_cast<uint8_t>(i % 16 == 0 ? 1 + i / 16 : 1);
    CheckBothWays(skewed);
  }

  TEST_CASE("few changed bytes take little more than their entropy") {
    std::mt19937 random(8);
    Bytes bytes(size_t{1} << 17);
    constexpr uint8_t kCodes[] = {0x01, 0x0F, 0x10, 0xF0};
    for (uint8_t& byte : bytes) {
      if (random() % 25 == 0) byte = kCodes[random() % 4];
    }
    Bytes coded;
    EncodeBytes(bytes, &coded);
    CHECK(coded.front() == static_cast<uint8_t>(schema::CodedMode::kSparse));
    // 0.2423 bits of where, 0.08 of what.
    CHECK(static_cast<double>(coded.size()) <
          1.02 * 0.3223 / 8 * static_cast<double>(bytes.size()));
  }

  TEST_CASE("sparse bytes that were cut or changed lead nowhere") {
    std::mt19937 random(9);
    Bytes bytes(700);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 6 == 0 ? random() : 0);
    Bytes coded, read;
    EncodeSparse(bytes, &coded);
    for (size_t size = 1; size < coded.size(); ++size) {
      CHECK_FALSE(Reads(Bytes(coded.begin(), coded.begin() + static_cast<ptrdiff_t>(size)),
                        bytes.size(), &read));
    }
    CHECK_FALSE(Reads(coded, bytes.size() / 2, &read));
    for (int round = 0; round < 2000; ++round) {
      Bytes changed = coded;
      for (int i = 0; i <= round % 3; ++i)
        changed[1 + random() % (changed.size() - 1)] = static_cast<uint8_t>(random());
      Reads(changed, bytes.size(), &read);
    }
  }

  TEST_CASE("sparse bytes that no coder writes are refused") {
    // Mode, entries, bits of a gap, values less one, value and bits, three sizes, four streams.
    // An entry without a gap is the bit 1.
    const Bytes sound = {3, 4, 0, 0, 9, 0, 1, 1, 1, 1, 1, 1, 1};
    CHECK(Refusal(sound, 4) == "none");
    CHECK(Refusal(sound, 5) == "none");
    const auto with = [&](size_t at, uint8_t byte) {
      Bytes changed = sound;
      changed[at] = byte;
      return Refusal(changed, 4);
    };
    CHECK(Refusal(sound, 3).find("more entries than bytes") != std::string::npos);
    CHECK(with(1, 5).find("more entries than bytes") != std::string::npos);
    CHECK(with(1, 0).find("do not end") != std::string::npos);
    CHECK(with(2, 13).find("too many bits") != std::string::npos);
    CHECK(with(3, 1).find("codes out of order") != std::string::npos);
    CHECK(with(3, 200).find("within their codes") != std::string::npos);
    CHECK(with(4, 0).find("codes out of order") != std::string::npos);
    CHECK(with(5, 11).find("codes out of order") != std::string::npos);
    CHECK(with(5, 1).find("bits of no code") != std::string::npos);
    CHECK(with(6, 200).find("within their streams") != std::string::npos);
    CHECK(with(6, 5).find("within their streams") != std::string::npos);
    CHECK(with(9, 0).find("does not end") != std::string::npos);
    CHECK(with(9, 2).find("beyond the end") != std::string::npos);
    // Two values that both have all the bits.
    CHECK(Refusal({3, 4, 0, 1, 9, 0, 10, 0, 1, 1, 1, 1, 1, 1, 1}, 4).find("too many codes") !=
          std::string::npos);
    // Gaps that add up to more than a number of 32 bits holds.
    constexpr size_t kCount = 40000;
    Bytes long_gaps = {3};
    PutNumber(kCount, &long_gaps);
    long_gaps.insert(long_gaps.end(), {12, 0, 9, 0});
    for (int i = 0; i < 3; ++i) PutNumber(kCount, &long_gaps);
    for (size_t i = 0; i < kCount; ++i) long_gaps.insert(long_gaps.end(), {0, 0, 0, 0x80});
    CHECK(Refusal(long_gaps, kCount).find("beyond the end") != std::string::npos);
    // Many entries of nothing: refused before anything is allocated for them.
    CHECK(Refusal({3, 0x80, 0x80, 0x10, 0, 0, 9, 0, 0, 0, 0}, size_t{1} << 18)
              .find("more entries than bytes") != std::string::npos);
  }
}

}  // namespace
}  // namespace graft::converter
