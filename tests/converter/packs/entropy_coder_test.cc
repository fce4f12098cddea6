// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/packs/entropy_encoder.h"
#include "converter/packs/prefix_encoder.h"
#include "schema/packs/entropy_decoder.h"
#include "schema/packs/sparse_bytes.h"
#include "schema/variable_length.h"

namespace graft::converter {
namespace {

std::vector<uint8_t> Coded(const std::vector<uint8_t>& symbols) {
  std::vector<uint8_t> coded;
  EncodeBytes(symbols, &coded);
  return coded;
}

// Mostly zeros; of the rest, each further one is rarer.
std::vector<uint8_t> Peaked(size_t count, double changed, std::mt19937& random) {
  std::bernoulli_distribution changes(changed);
  std::geometric_distribution<int> size(0.4);
  std::vector<uint8_t> symbols(count);
  for (uint8_t& symbol : symbols) {
    if (!changes(random)) continue;
    const int far = 1 + size(random);
    symbol = static_cast<uint8_t>(random() % 2 == 0 ? far : -far);
  }
  return symbols;
}

double EntropyBytes(const std::vector<uint8_t>& symbols) {
  std::array<double, 256> counts{};
  for (const uint8_t symbol : symbols) counts[symbol] += 1;
  double bits = 0;
  for (const double count : counts) {
    if (count > 0) bits += count * std::log2(static_cast<double>(symbols.size()) / count);
  }
  return bits / 8;
}

TEST_SUITE("converter/packs") {
  TEST_CASE("what is coded is read back, whatever it is") {
    std::mt19937 random(1);
    schema::EntropyDecoder decoder;
    for (const size_t count : {0, 1, 2, 3, 4, 5, 100, 4099}) {
      for (const double changed : {0.0, 0.001, 0.1, 0.9, 1.0}) {
        const std::vector<uint8_t> symbols = Peaked(count, changed, random);
        const std::vector<uint8_t> coded = Coded(symbols);
        CHECK(coded.size() <= symbols.size() + 2);
        std::vector<uint8_t> read(count);
        if (schema::IsSparse(coded)) continue;  // of which another test is
        REQUIRE(decoder.Decode(coded, read).ok());
        CHECK(read == symbols);
      }
      std::vector<uint8_t> noise(count);
      std::generate(noise.begin(), noise.end(), [&] { return static_cast<uint8_t>(random()); });
      std::vector<uint8_t> read(count);
      REQUIRE(decoder.Decode(Coded(noise), read).ok());
      CHECK(read == noise);
    }
  }

  TEST_CASE("codes of weights take little more than their zero-order entropy") {
    std::mt19937 random(2);
    for (const double changed : {0.004, 0.036, 0.15, 0.5}) {
      const std::vector<uint8_t> symbols = Peaked(size_t{1} << 18, changed, random);
      CAPTURE(changed);
      const auto size = static_cast<double>(Coded(symbols).size());
      CHECK(size <= EntropyBytes(symbols) * (changed < 0.01 ? 1.10 : 1.03));
    }
  }

  TEST_CASE("no changed byte of coded bytes is followed out of them") {
    std::mt19937 random(3);
    std::vector<uint8_t> symbols = Peaked(4000, 0.05, random);
    for (uint8_t& symbol : symbols) ++symbol;
    const std::vector<uint8_t> coded = Coded(symbols);
    REQUIRE(coded.front() == static_cast<uint8_t>(schema::CodedMode::kCoded));
    schema::EntropyDecoder decoder;
    std::vector<uint8_t> read(symbols.size());
    for (size_t size = 0; size < coded.size(); ++size) {
      CHECK_FALSE(decoder.Decode(std::span(coded).first(size), read).ok());
    }
    size_t refused = 0;
    for (size_t i = 0; i < coded.size(); ++i) {
      std::vector<uint8_t> changed = coded;
      changed[i] = static_cast<uint8_t>(changed[i] + 1 + random() % 255);
      refused += decoder.Decode(changed, read).ok() ? 0 : 1;
    }
    CHECK(refused > coded.size() / 2);  // states seldom end as they must by chance
  }

  TEST_CASE("bytes in Huffman codes are read back, and nothing else is read") {
    std::mt19937 random(4);
    schema::EntropyDecoder decoder;
    const auto code = [](const std::vector<uint8_t>& symbols) {
      std::vector<uint8_t> coded;
      EncodeHuffman(symbols, &coded);
      return coded;
    };
    // Of all sizes around what is looked up and loaded at once.
    for (const double changed : {0.0, 0.03, 0.5, 1.0}) {
      for (size_t count = 1; count < 20000; count += 1 + count / 7) {
        std::vector<uint8_t> symbols = Peaked(count, changed, random);
        if (count % 3 == 0) symbols.back() = 0xFF;
        if (count > 9000)  // one part of the four with longer codes than the others
          for (size_t i = 0; i < count / 4; ++i) symbols[i] = static_cast<uint8_t>(random());
        std::vector<uint8_t> read(count + 8, 0xA5);
        REQUIRE(decoder.Decode(code(symbols), std::span(read).first(count)).ok());
        CHECK(std::equal(symbols.begin(), symbols.end(), read.begin()));
        CHECK(std::all_of(read.end() - 8, read.end(), [](uint8_t byte) { return byte == 0xA5; }));
      }
    }
    const std::vector<uint8_t> symbols = Peaked(700, 0.6, random);
    const std::vector<uint8_t> coded = code(symbols);
    std::vector<uint8_t> read(symbols.size());
    for (size_t size = 0; size < coded.size(); ++size)
      CHECK_FALSE(decoder.Decode(std::span(coded).first(size), read).ok());
    CHECK_FALSE(decoder.Decode(coded, std::span(read).first(600)).ok());
    for (int round = 0; round < 2000; ++round) {
      std::vector<uint8_t> changed = coded;
      changed[1 + random() % (coded.size() - 1)] = static_cast<uint8_t>(random());
      (void)decoder.Decode(changed, read);
    }
    // Mode, values less one, value and bits, three sizes, four streams: 7, 9, 9, 7, and 7.
    const std::vector<uint8_t> sound = {4, 1, 7, 1, 9, 1, 1, 1, 1, 2, 1, 0};
    std::vector<uint8_t> five(5);
    REQUIRE(decoder.Decode(sound, five).ok());
    CHECK(five == std::vector<uint8_t>{7, 9, 9, 7, 7});
    const auto refusal = [&](size_t at, uint8_t byte) {
      std::vector<uint8_t> changed = sound;
      changed[at] = byte;
      return std::string(decoder.Decode(changed, five).message());
    };
    CHECK(refusal(1, 200).find("end within their codes") != std::string::npos);
    CHECK(refusal(3, 11).find("codes out of order") != std::string::npos);
    CHECK(refusal(4, 7).find("codes out of order") != std::string::npos);
    CHECK(refusal(3, 0).find("too many codes") != std::string::npos);
    CHECK(refusal(3, 2).find("bits of no code") != std::string::npos);
    CHECK(refusal(6, 9).find("end within their streams") != std::string::npos);
    CHECK(refusal(6, 0).find("do not end as they must") != std::string::npos);
    CHECK(refusal(8, 0).find("do not end as they must") != std::string::npos);
  }

  TEST_CASE("numbers of variable length") {
    const std::array<int64_t, 9> numbers = {0, -1, 1, 63, -64, 64, 1 << 20, INT64_MAX, INT64_MIN};
    std::vector<uint8_t> bytes;
    for (const int64_t number : numbers) PutSigned(number, &bytes);
    std::span<const uint8_t> rest = bytes;
    for (const int64_t number : numbers) {
      int64_t read = 0;
      REQUIRE(schema::TakeSigned(&rest, &read));
      CHECK(read == number);
    }
    CHECK(rest.empty());
    uint64_t read = 0;
    CHECK_FALSE(schema::TakeNumber(&rest, &read));
    const std::vector<uint8_t> too_long(10, 0x82);
    rest = too_long;
    CHECK_FALSE(schema::TakeNumber(&rest, &read));
    const std::vector<uint8_t> too_large = {255, 255, 255, 255, 255, 255, 255, 255, 255, 2};
    rest = too_large;
    CHECK_FALSE(schema::TakeNumber(&rest, &read));
  }
}

}  // namespace
}  // namespace graft::converter
