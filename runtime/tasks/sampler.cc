// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace graft::runtime {
namespace {

constexpr uint32_t kDefaultRepeatWindow = 64;
// top_p first looks among this many candidates, then among ever more: the likeliest few are mostly
// enough.
constexpr size_t kFirstSorted = 128;
constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr size_t kWordBits = 64;

Status CheckRange(const char* name, float value, float low, float high) {
  if (value >= low && value <= high) return OkStatus();  // and NaN is in no range
  return Error(StatusCode::kInvalidArgument, "%s is %g, not between %g and %g", name,
               static_cast<double>(value), static_cast<double>(low), static_cast<double>(high));
}

/// Those of the ids from `first` on, a multiple of 64, that are below `count` and may come.
uint64_t AllowedFrom(size_t first, size_t count, std::span<const uint64_t> allowed) {
  uint64_t bits = ~uint64_t{0};
  if (!allowed.empty()) bits = first / kWordBits < allowed.size() ? allowed[first / kWordBits] : 0;
  const size_t left = count - first;
  return left < kWordBits ? bits & ((uint64_t{1} << left) - 1) : bits;
}

/// The largest of kWordBits logits, in lanes that a compiler computes together. NaN is none.
float LargestOfWord(const float* logits) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, kNever);
  for (size_t i = 0; i < kWordBits; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      lanes[k] = logits[i + k] > lanes[k] ? logits[i + k] : lanes[k];
    }
  }
  return *std::max_element(lanes, lanes + kLanes);
}

/// The first of the largest that may come; logits.size(): none is above minus infinity.
size_t FindLargest(std::span<const float> logits, std::span<const uint64_t> allowed) {
  size_t best = logits.size();
  float largest = kNever;
  for (size_t first = 0; first < logits.size(); first += kWordBits) {
    uint64_t bits = AllowedFrom(first, logits.size(), allowed);
    // Few words have a larger one, so one by one is seldom.
    if (bits == 0 ||
        (logits.size() - first >= kWordBits && !(LargestOfWord(logits.data() + first) > largest))) {
      continue;
    }
    for (; bits != 0; bits &= bits - 1) {
      const size_t id = first + static_cast<size_t>(std::countr_zero(bits));
      if (!(logits[id] > largest)) continue;
      largest = logits[id];
      best = id;
    }
  }
  return best;
}

// 1 / n!: of the exponential's series.
constexpr auto kInverseFactorials = [] {
  std::array<double, 15> values{};
  double factorial = 1;
  for (size_t n = 0; n < values.size(); ++n) {
    if (n > 0) factorial *= static_cast<double>(n);
    values[n] = 1 / factorial;
  }
  return values;
}();

}  // namespace

Status CheckSamplingOptions(const SamplingOptions& options) {
  for (const TokenBias& bias : options.biases) {
    if (bias.bias < std::numeric_limits<float>::infinity()) continue;  // false for NaN
    return Error(StatusCode::kInvalidArgument, "the bias of token %d is no finite number", bias.id);
  }
  GRAFT_RETURN_IF_ERROR(CheckRange("repeat_penalty", options.repeat_penalty, 0, 1000));
  GRAFT_RETURN_IF_ERROR(CheckRange("presence_penalty", options.presence_penalty, -100, 100));
  GRAFT_RETURN_IF_ERROR(CheckRange("frequency_penalty", options.frequency_penalty, -100, 100));
  GRAFT_RETURN_IF_ERROR(CheckRange("temperature", options.temperature, 0, 1000));
  GRAFT_RETURN_IF_ERROR(CheckRange("top_p", options.top_p, 0, 1));
  return CheckRange("min_p", options.min_p, 0, 1);
}

double PortableExp(double x) {
  if (!(x > -700)) return 0;
  // x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts so that n ln 2 is taken off exactly
  // enough.
  constexpr double kLog2E = 1.4426950408889634074;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double n = std::floor(x * kLog2E + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = kInverseFactorials.back();
  for (size_t i = kInverseFactorials.size() - 1; i-- > 0;) sum = kInverseFactorials[i] + r * sum;
  return sum * std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
}

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  if (options_.repeat_window == 0) options_.repeat_window = kDefaultRepeatWindow;
}

void Sampler::PenalizeRepeated(std::span<const int32_t> history) {
  const float penalty = options_.repeat_penalty;
  const size_t window = std::min<size_t>(history.size(), options_.repeat_window);
  seen_.assign(history.end() - static_cast<ptrdiff_t>(window), history.end());
  std::sort(seen_.begin(), seen_.end());
  seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
  for (const int32_t id : seen_) {
    if (id < 0 || static_cast<size_t>(id) >= penalized_.size()) continue;
    float& logit = penalized_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void Sampler::PenalizeGenerated(std::span<const int32_t> history) {
  const size_t from = std::min(history.size(), options_.generated_from);
  seen_.assign(history.begin() + static_cast<ptrdiff_t>(from), history.end());
  std::sort(seen_.begin(), seen_.end());
  for (size_t i = 0; i < seen_.size();) {
    const int32_t id = seen_[i];
    size_t count = 0;
    for (; i < seen_.size() && seen_[i] == id; ++i) ++count;
    if (id < 0 || static_cast<size_t>(id) >= penalized_.size()) continue;
    penalized_[static_cast<size_t>(id)] -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  }
}

std::span<const float> Sampler::Penalize(std::span<const float> logits,
                                         std::span<const int32_t> history) {
  const bool repeats =
      options_.repeat_penalty != 0 && options_.repeat_penalty != 1 && !history.empty();
  const bool counts = options_.presence_penalty != 0 || options_.frequency_penalty != 0;
  if (!repeats && !counts && options_.biases.empty()) return logits;
  penalized_.assign(logits.begin(), logits.end());
  for (const TokenBias& bias : options_.biases) {
    if (bias.id < 0 || static_cast<size_t>(bias.id) >= penalized_.size()) continue;
    penalized_[static_cast<size_t>(bias.id)] += bias.bias;
  }
  if (repeats) PenalizeRepeated(history);
  if (counts) PenalizeGenerated(history);
  return penalized_;
}

/// Fills candidates_ with what top_k leaves, the likeliest first if it leaves not all. Returns how
/// many are in order.
size_t Sampler::KeepTopK(std::span<const float> logits, std::span<const uint64_t> allowed) {
  candidates_.clear();
  for (size_t first = 0; first < logits.size(); first += kWordBits) {
    for (uint64_t bits = AllowedFrom(first, logits.size(), allowed); bits != 0; bits &= bits - 1) {
      const size_t id = first + static_cast<size_t>(std::countr_zero(bits));
      if (!(logits[id] > kNever)) continue;  // true for NaN
      candidates_.push_back({0, logits[id], static_cast<int32_t>(id)});
    }
  }
  if (options_.top_k == 0 || options_.top_k >= candidates_.size()) return 0;
  const auto end = candidates_.begin() + options_.top_k;
  std::partial_sort(candidates_.begin(), end, candidates_.end(),
                    [](const Candidate& a, const Candidate& b) {
                      return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
                    });
  candidates_.resize(options_.top_k);
  return options_.top_k;
}

/// Cuts candidates_, of which `sorted` are in order, to the likeliest that together reach top_p of
/// the weight there is.
size_t Sampler::KeepTopP(size_t sorted) {
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const double wanted = static_cast<double>(options_.top_p) * total;
  double reached = 0;
  size_t count = 0;
  while (count < candidates_.size()) {
    if (count == sorted) {
      const size_t more = std::min(candidates_.size(), std::max(kFirstSorted, sorted * 8));
      std::partial_sort(candidates_.begin() + static_cast<ptrdiff_t>(sorted),
                        candidates_.begin() + static_cast<ptrdiff_t>(more), candidates_.end(),
                        [](const Candidate& a, const Candidate& b) {
                          return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
                        });
      sorted = more;
    }
    reached += candidates_[count++].weight;
    if (reached >= wanted) break;
  }
  return count;
}

Result<int32_t> Sampler::Choose(std::span<const float> logits, std::span<const int32_t> history,
                                std::span<const uint64_t> allowed) {
  logits = Penalize(logits, history);
  const size_t best = FindLargest(logits, allowed);
  if (best == logits.size() || std::isinf(logits[best])) {
    return Error(StatusCode::kInternal, "the model's %zu logits have no finite maximum",
                 logits.size());
  }
  if (options_.temperature == 0) return static_cast<int32_t>(best);

  const size_t sorted = KeepTopK(logits, allowed);
  const double top = logits[best];
  const double temperature = options_.temperature;
  for (Candidate& candidate : candidates_) {
    candidate.weight = PortableExp((static_cast<double>(candidate.logit) - top) / temperature);
  }
  if (options_.top_p > 0 && options_.top_p < 1) candidates_.resize(KeepTopP(sorted));
  if (options_.min_p > 0) {  // the likeliest has weight 1
    std::erase_if(candidates_, [&](const Candidate& candidate) {
      return candidate.weight < static_cast<double>(options_.min_p);
    });
  }
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const double point = random_.NextUnit() * total;
  double passed = 0;
  for (const Candidate& candidate : candidates_) {
    passed += candidate.weight;
    if (point < passed) return candidate.id;
  }
  // Rounding can leave the point at the very end: the last that has any weight.
  for (size_t i = candidates_.size(); i-- > 0;) {
    if (candidates_[i].weight > 0) return candidates_[i].id;
  }
  return static_cast<int32_t>(best);
}

}  // namespace graft::runtime
