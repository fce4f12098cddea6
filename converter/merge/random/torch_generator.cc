// SPDX-License-Identifier: Apache-2.0
// MT19937 (Matsumoto and Nishimura 1998); shuffles and distributions as PyTorch orders them.
#include "converter/merge/random/torch_generator.h"

#include <cmath>
#include <unordered_map>

#include "converter/merge/updates/elementary.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

// From so many on randperm draws 64 bits a number.
constexpr int64_t kWidePermutation = 214748364;

float ToBFloat16(float value) {
  const double wide = value;
  uint8_t stored[2];
  double rounded = 0;
  Narrow(DType::kBFloat16, &wide, 1, stored);
  Widen(DType::kBFloat16, stored, 1, &rounded);
  return static_cast<float>(rounded);
}

// Two normal numbers from two uniform ones. u1 in (0, 1], u2 in [0, 1).
struct NormalPair {
  NormalPair(double u1, double u2) {
    const double radius = std::sqrt(-2 * Log(u1));
    const SineAndCosine turn = SinCosOfTurn(static_cast<uint64_t>(u2 * 0x1p53), uint64_t{1} << 53);
    first = radius * turn.cosine;
    second = radius * turn.sine;
  }
  double first;
  double second;
};

// Blocks of 16 uniform numbers become normal, the first half with the second.
void MakeNormal(double mean, double deviation, double* block) {
  for (size_t j = 0; j < 8; ++j) {
    const NormalPair pair(1 - block[j], block[j + 8]);
    block[j] = static_cast<float>(pair.first * deviation + mean);
    block[j + 8] = static_cast<float>(pair.second * deviation + mean);
  }
}

}  // namespace

TorchGenerator::TorchGenerator(uint64_t seed) {
  state_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < state_.size(); ++i) {
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }
}

void TorchGenerator::Refill() {
  constexpr size_t kSize = 624;
  constexpr size_t kShift = 397;
  for (size_t i = 0; i < kSize; ++i) {
    const uint32_t joined = (state_[i] & 0x80000000u) | (state_[(i + 1) % kSize] & 0x7fffffffu);
    state_[i] = state_[(i + kShift) % kSize] ^ (joined >> 1) ^ ((joined & 1) ? 0x9908b0dfu : 0);
  }
  next_ = 0;
}

uint32_t TorchGenerator::Next() {
  if (next_ == state_.size()) Refill();
  uint32_t value = state_[next_++];
  value ^= value >> 11;
  value ^= (value << 7) & 0x9d2c5680u;
  value ^= (value << 15) & 0xefc60000u;
  return value ^ (value >> 18);
}

std::vector<int64_t> TorchGenerator::PermutationStart(int64_t n, size_t count) {
  std::vector<int64_t> start(count);
  const uint64_t size = static_cast<uint64_t>(n);
  if (n >= kWidePermutation) {
    // Each number takes a place before it, and what was there moves to its own. Only places within
    // the start matter.
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t high = Next();
      const uint64_t place = ((high << 32) | Next()) % (i + 1);
      if (i < count) start[static_cast<size_t>(i)] = start[static_cast<size_t>(place)];
      if (place < count) start[static_cast<size_t>(place)] = static_cast<int64_t>(i);
    }
    return start;
  }
  // Each place is exchanged with one from there on; those that hold another number than their own.
  std::unordered_map<uint64_t, uint64_t> moved;
  const auto at = [&moved](uint64_t place) {
    const auto found = moved.find(place);
    return found != moved.end() ? found->second : place;
  };
  for (uint64_t k = 0; k < count; ++k) {
    // The last number is left without a draw.
    const uint64_t other = k + 1 < size ? k + Next() % (size - k) : k;
    start[static_cast<size_t>(k)] = static_cast<int64_t>(at(other));
    moved[other] = at(k);
    moved.erase(k);
  }
  return start;
}

double TorchGenerator::NextFraction24() { return (Next() & 0xffffffu) * 0x1p-24; }

double TorchGenerator::NextFraction53() {
  const uint64_t high = Next();
  const uint64_t both = (high << 32) | Next();
  return static_cast<double>(both & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

float TorchGenerator::Uniform(float low, float high) {
  return std::fma(static_cast<float>(NextFraction24()), high - low, low);
}

float TorchGenerator::UniformBFloat16(float low, float high) {
  const float drawn = ToBFloat16(Uniform(low, high));
  return drawn == ToBFloat16(high) ? ToBFloat16(low) : drawn;
}

void TorchGenerator::Normal(double mean, double deviation, std::span<double> out) {
  const size_t count = out.size();
  if (count < 16) {
    for (size_t i = 0; i < count; i += 2) {
      const double turn = NextFraction53();
      const NormalPair pair(1 - NextFraction53(), turn);
      out[i] = static_cast<float>(pair.first * deviation + mean);
      if (i + 1 < count) out[i + 1] = static_cast<float>(pair.second * deviation + mean);
    }
    return;
  }
  for (double& value : out) value = NextFraction24();
  for (size_t at = 0; at + 16 <= count; at += 16) MakeNormal(mean, deviation, out.data() + at);
  if (count % 16 == 0) return;
  // The last 16 are drawn anew.
  double* last = out.data() + count - 16;
  for (size_t j = 0; j < 16; ++j) last[j] = NextFraction24();
  MakeNormal(mean, deviation, last);
}

}  // namespace graft::converter
