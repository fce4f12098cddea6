// SPDX-License-Identifier: Apache-2.0
// RandomSource: the same numbers from the same seed on every machine.
#pragma once

#include <cstdint>

namespace graft::runtime {

/// xoshiro256**, its state filled by SplitMix64.
/// Source   Blackman and Vigna 2021, "Scrambled Linear Pseudorandom Number Generators"; Steele, Lea
///          and Flood 2014, "Fast Splittable Pseudorandom Number Generators".
class RandomSource {
 public:
  explicit RandomSource(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15u;
      uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
      mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
      word = mixed ^ (mixed >> 31);
    }
  }

  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  /// A multiple of 2^-53 in [0, 1), each equally likely.
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  static uint64_t Rotate(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

  uint64_t state_[4];
};

}  // namespace graft::runtime
