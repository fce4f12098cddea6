// SPDX-License-Identifier: Apache-2.0
// PCG XSL RR 128/64 (O'Neill 2014); seeds and draws as NumPy orders them.
#include "converter/merge/random/numpy_generator.h"

#include <array>
#include <bit>
#include <numeric>
#include <unordered_set>
#include <utility>

namespace graft::converter {
namespace {

constexpr uint32_t kXorShift = 16;

// One step of SeedSequence's hash, whose constant changes from step to step.
class Hash {
 public:
  Hash(uint32_t constant, uint32_t factor) : constant_(constant), factor_(factor) {}
  uint32_t operator()(uint32_t value) {
    value ^= constant_;
    constant_ *= factor_;
    value *= constant_;
    return value ^ (value >> kXorShift);
  }

 private:
  uint32_t constant_;
  uint32_t factor_;
};

uint32_t Mix(uint32_t a, uint32_t b) {
  const uint32_t mixed = 0xca01f9ddu * a - 0x4973f715u * b;
  return mixed ^ (mixed >> kXorShift);
}

// The first eight numbers of SeedSequence(seed), in pairs.
std::array<uint64_t, 4> SeedState(uint64_t seed) {
  std::array<uint32_t, 4> pool = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), 0,
                                  0};
  Hash hash(0x43b0d7e5u, 0x931e8875u);
  for (uint32_t& word : pool) word = hash(word);
  for (size_t from = 0; from < pool.size(); ++from) {
    for (size_t to = 0; to < pool.size(); ++to) {
      if (from != to) pool[to] = Mix(pool[to], hash(pool[from]));
    }
  }
  Hash spread(0x8b51f9ddu, 0x58f38dedu);
  std::array<uint64_t, 4> state = {};
  for (size_t i = 0; i < 8; ++i) {
    state[i / 2] |= static_cast<uint64_t>(spread(pool[i % 4])) << (i % 2 * 32);
  }
  return state;
}

}  // namespace

NumpyGenerator::Wide NumpyGenerator::Add(Wide a, Wide b) {
  const uint64_t low = a.low + b.low;
  return {a.high + b.high + (low < a.low ? 1 : 0), low};
}

NumpyGenerator::Wide NumpyGenerator::Multiply(Wide a, Wide b) {
  constexpr uint64_t kHalf = 0xffffffff;
  const uint64_t a_low = a.low & kHalf;
  const uint64_t a_high = a.low >> 32;
  const uint64_t b_low = b.low & kHalf;
  const uint64_t b_high = b.low >> 32;
  const uint64_t lowest = a_low * b_low;
  const uint64_t middle = a_high * b_low + (lowest >> 32);
  const uint64_t other = a_low * b_high + (middle & kHalf);
  return {a_high * b_high + (middle >> 32) + (other >> 32) + a.high * b.low + a.low * b.high,
          (other << 32) | (lowest & kHalf)};
}

NumpyGenerator::NumpyGenerator(uint64_t seed) {
  const std::array<uint64_t, 4> words = SeedState(seed);
  increment_ = {(words[2] << 1) | (words[3] >> 63), (words[3] << 1) | 1};
  Step();
  state_ = Add(state_, {words[0], words[1]});
  Step();
}

void NumpyGenerator::Step() {
  constexpr Wide kFactor = {0x2360ed051fc65da4u, 0x4385df649fccf645u};
  state_ = Add(Multiply(state_, kFactor), increment_);
}

uint64_t NumpyGenerator::Next64() {
  Step();
  return std::rotr(state_.high ^ state_.low, static_cast<int>(state_.high >> 58));
}

uint32_t NumpyGenerator::Next32() {
  if (kept_.has_value()) return *std::exchange(kept_, std::nullopt);
  const uint64_t both = Next64();
  kept_ = static_cast<uint32_t>(both >> 32);
  return static_cast<uint32_t>(both);
}

// 0 to top, by Lemire's method.
uint32_t NumpyGenerator::Bounded(uint32_t top) {
  if (top == 0) return 0;
  if (top == 0xffffffffu) return Next32();
  const uint32_t count = top + 1;
  uint64_t product = static_cast<uint64_t>(Next32()) * count;
  if (static_cast<uint32_t>(product) < count) {
    const uint32_t least = (0xffffffffu - top) % count;
    while (static_cast<uint32_t>(product) < least) {
      product = static_cast<uint64_t>(Next32()) * count;
    }
  }
  return static_cast<uint32_t>(product >> 32);
}

// 0 to top: what is too large is drawn again.
uint32_t NumpyGenerator::Masked(uint32_t top) {
  if (top == 0) return 0;
  const uint32_t mask = 0xffffffffu >> std::countl_zero(top);
  while (true) {
    const uint32_t value = Next32() & mask;
    if (value <= top) return value;
  }
}

void NumpyGenerator::ShuffleFrom(uint32_t first, std::span<uint32_t> values) {
  for (uint32_t i = static_cast<uint32_t>(values.size()); i-- > first;) {
    std::swap(values[i], values[Bounded(i)]);
  }
}

std::vector<uint32_t> NumpyGenerator::Choice(uint32_t n, uint32_t count) {
  if (n > 10000 && count > n / 50) {
    std::vector<uint32_t> all(n);
    std::iota(all.begin(), all.end(), 0u);
    ShuffleFrom(n - count > 1 ? n - count : 1, all);
    return {all.end() - static_cast<std::ptrdiff_t>(count), all.end()};
  }
  // Floyd's method, then a shuffle.
  std::vector<uint32_t> chosen;
  std::unordered_set<uint32_t> seen;
  for (uint32_t i = n - count; i < n; ++i) {
    uint32_t value = Bounded(i);
    if (!seen.insert(value).second) seen.insert(value = i);
    chosen.push_back(value);
  }
  ShuffleFrom(1, chosen);
  return chosen;
}

void NumpyGenerator::Shuffle(std::span<uint32_t> values) {
  for (uint32_t i = static_cast<uint32_t>(values.size()); i-- > 1;) {
    std::swap(values[i], values[Masked(i)]);
  }
}

}  // namespace graft::converter
