// SPDX-License-Identifier: Apache-2.0
// NumpyGenerator: the random numbers of NumPy's default generator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace graft::converter {

/// PCG64, seeded by SeedSequence, and what NumPy makes of its numbers.
class NumpyGenerator {
 public:
  /// As numpy.random.default_rng(seed).
  explicit NumpyGenerator(uint64_t seed);

  /// As bit_generator.random_raw().
  uint64_t Next64();

  /// choice(n, size=count, replace=False).
  /// Requires count <= n.
  std::vector<uint32_t> Choice(uint32_t n, uint32_t count);
  /// shuffle(values).
  /// Requires fewer than 2^32 values.
  void Shuffle(std::span<uint32_t> values);

 private:
  struct Wide {
    uint64_t high = 0;
    uint64_t low = 0;
  };
  static Wide Add(Wide a, Wide b);
  static Wide Multiply(Wide a, Wide b);
  uint32_t Next32();
  uint32_t Bounded(uint32_t top);
  uint32_t Masked(uint32_t top);
  void ShuffleFrom(uint32_t first, std::span<uint32_t> values);
  void Step();

  Wide state_;
  Wide increment_;
  std::optional<uint32_t> kept_;
};

}  // namespace graft::converter
