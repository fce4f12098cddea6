// SPDX-License-Identifier: Apache-2.0
// TorchGenerator: the random numbers of PyTorch's generator for CPUs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::converter {

/// MT19937, and what PyTorch makes of its numbers.
class TorchGenerator {
 public:
  /// The seed of a generator that was given none.
  static constexpr uint64_t kUnseeded = 67280421310721;

  /// As torch.Generator().manual_seed(seed): the lower half of the seed counts.
  explicit TorchGenerator(uint64_t seed);

  uint32_t Next();

  /// The first `count` numbers of torch.randperm(n).
  /// Requires 0 < n, count <= n.
  /// Cost     `count` draws and as much memory; n pairs of draws where n is 214748364 or more.
  std::vector<int64_t> PermutationStart(int64_t n, size_t count);

  /// One number of float32 uniform_(low, high), where multiplication and addition are fused, as
  /// they are wherever PyTorch finds AVX2.
  float Uniform(float low, float high);
  /// One of a bfloat16 tensor.
  float UniformBFloat16(float low, float high);

  /// Float32 numbers of torch.normal: bit for bit where there are fewer than 16. From 16 on
  /// PyTorch's last bits depend on its CPU; these are the nearest to what it approximates.
  void Normal(double mean, double deviation, std::span<double> out);

 private:
  double NextFraction53();
  double NextFraction24();
  void Refill();

  std::array<uint32_t, 624> state_;
  size_t next_ = 624;
};

}  // namespace graft::converter
