// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/relative_positions.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace graft::converter {
namespace {

constexpr int64_t kMaxBuckets = 1 << 16;
constexpr int64_t kMaxDistance = 1 << 16;

// Buckets of one direction, and how many of them hold a single distance each.
int64_t OneWay(const PositionBuckets& buckets) {
  return buckets.both_ways ? buckets.buckets / 2 : buckets.buckets;
}

}  // namespace

Result<PositionBuckets> ReadPositionBuckets(const JsonValue& config, const char* buckets_key,
                                            const char* max_distance_key, bool both_ways) {
  PositionBuckets buckets;
  buckets.both_ways = both_ways;
  const int64_t fewest = both_ways ? 4 : 2;
  GRAFT_ASSIGN_OR_RETURN(buckets.buckets, config.GetIntIn(buckets_key, fewest, kMaxBuckets,
                                                          PositionBuckets().buckets));
  GRAFT_ASSIGN_OR_RETURN(buckets.max_distance,
                         config.GetIntIn(max_distance_key, OneWay(buckets) / 2 + 1, kMaxDistance,
                                         PositionBuckets().max_distance));
  return buckets;
}

int64_t BucketOf(const PositionBuckets& buckets, int64_t distance) {
  const int64_t count = OneWay(buckets);
  int64_t first = 0;
  if (buckets.both_ways && distance > 0) first = count;
  const int64_t far = buckets.both_ways ? std::abs(distance) : std::max<int64_t>(0, -distance);
  const int64_t exact = count / 2;
  if (far < exact) return first + far;
  const auto logarithm = [](double number) { return static_cast<float>(std::log(number)); };
  const float ratio = static_cast<float>(far) / static_cast<float>(exact);
  const float part =
      logarithm(static_cast<double>(ratio)) /
      logarithm(static_cast<double>(buckets.max_distance) / static_cast<double>(exact));
  const auto beyond = static_cast<int64_t>(part * static_cast<float>(count - exact));
  return first + std::min(exact + beyond, count - 1);
}

void AddPositionBias(const std::string& source, const PositionBuckets& buckets, GraphBuilder& graph,
                     AttentionShape* shape) {
  const std::vector<double> by_bucket = graph.Numbers(source, buckets.buckets, shape->heads);
  if (by_bucket.empty()) return;
  const int64_t before = buckets.max_distance;
  const int64_t after = buckets.both_ways ? buckets.max_distance : 0;
  std::vector<float> by_distance;
  for (int64_t head = 0; head < shape->heads; ++head) {
    for (int64_t distance = -before; distance <= after; ++distance) {
      const int64_t at = BucketOf(buckets, distance) * shape->heads + head;
      by_distance.push_back(static_cast<float>(by_bucket[static_cast<size_t>(at)]));
    }
  }
  shape->position_bias =
      graph.LiteralMatrix(source + ".by_distance", std::move(by_distance), before + after + 1);
  shape->position_bias_before = before;
}

}  // namespace graft::converter
