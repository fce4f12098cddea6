// SPDX-License-Identifier: Apache-2.0
// Buckets of distances are those of transformers' T5.
#include "converter/lower/relative_positions.h"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace graft::converter {
namespace {

struct Case {
  PositionBuckets buckets;
  std::vector<std::pair<int64_t, int64_t>> expected;  // distance, bucket
};

// T5Attention._relative_position_bucket of transformers 5.12.
const Case kCases[] = {
    {{32, 128, true},
     {{-131, 15}, {-128, 15}, {-64, 14}, {-33, 12}, {-32, 12}, {-31, 11}, {-16, 10},
      {-13, 9},   {-8, 8},    {-5, 5},   {-1, 1},   {0, 0},    {1, 17},   {7, 23},
      {8, 24},    {16, 26},   {45, 28},  {63, 29},  {64, 30},  {91, 31},  {400, 31}}},
    {{32, 128, false},
     {{-131, 31},
      {-127, 31},
      {-64, 26},
      {-33, 21},
      {-31, 21},
      {-16, 16},
      {-13, 13},
      {-5, 5},
      {0, 0},
      {1, 0},
      {400, 0}}},
    {{8, 20, true}, {{-23, 3}, {-8, 3}, {-5, 2}, {-1, 1}, {0, 0}, {1, 5}, {2, 6}, {7, 7}}},
    {{12, 64, false}, {{-67, 11}, {-33, 10}, {-16, 8}, {-13, 7}, {-8, 6}, {-5, 5}, {2, 0}}},
};

Result<PositionBuckets> Read(const std::string& members) {
  const auto document = JsonDocument::Parse("{" + members + "}", "config.json");
  REQUIRE(document.ok());
  return ReadPositionBuckets((*document)->root(), "buckets", "distance", /*both_ways=*/true);
}

}  // namespace

TEST_SUITE("relative positions") {
  TEST_CASE("buckets are those of transformers, and all is one beyond the largest distance") {
    for (const Case& c : kCases) {
      for (const auto& [distance, bucket] : c.expected) {
        CAPTURE(distance);
        CHECK(BucketOf(c.buckets, distance) == bucket);
      }
      for (const int64_t sign : {-1, 1}) {
        const int64_t far = BucketOf(c.buckets, sign * c.buckets.max_distance);
        for (int64_t more = 1; more < 40; ++more)
          CHECK(BucketOf(c.buckets, sign * (c.buckets.max_distance + more)) == far);
      }
    }
  }

  TEST_CASE("buckets that the formula does not know are refused by key") {
    REQUIRE(Read("").ok());
    CHECK(Read("")->max_distance == 128);
    CHECK(Read(R"("buckets": 8, "distance": 3)").ok());
    for (const char* members :
         {R"("buckets": 3)", R"("buckets": 0)", R"("buckets": 8, "distance": 2)",
          R"("distance": 99999999)", R"("buckets": -4)"}) {
      CAPTURE(members);
      CHECK_FALSE(Read(members).ok());
    }
  }
}

}  // namespace graft::converter
