// SPDX-License-Identifier: Apache-2.0
// Relative positions as T5 and its kin have them: distances in buckets, and for each bucket a number
// for each head, which scores are raised by.
#pragma once

#include <cstdint>
#include <string>

#include "converter/json/json.h"
#include "converter/lower/graph_builder.h"
#include "converter/lower/shapes.h"
#include "schema/result.h"

namespace graft::converter {

struct PositionBuckets {
  int64_t buckets = 32;
  int64_t max_distance = 128;  ///< All distances from here on are in one bucket.
  bool both_ways = true;       ///< Half of the buckets are for what comes after a row.
};

/// The buckets that a configuration states.
/// Errors   kCorrupt: fewer buckets than the formula needs, or a distance that they reach beyond.
Result<PositionBuckets> ReadPositionBuckets(const JsonValue& config, const char* buckets_key,
                                            const char* max_distance_key, bool both_ways);

/// The bucket of a row `distance` behind another; a negative one is before it.
/// Source   Raffel et al. 2020, with f32 arithmetic as transformers has it.
int64_t BucketOf(const PositionBuckets& buckets, int64_t distance);

/// Gives `shape` the numbers of the embedding `source` [buckets, heads], one for each distance.
void AddPositionBias(const std::string& source, const PositionBuckets& buckets, GraphBuilder& graph,
                     AttentionShape* shape);

}  // namespace graft::converter
