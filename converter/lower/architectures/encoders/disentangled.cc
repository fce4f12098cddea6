// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/encoders/disentangled.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace graft::converter {
namespace {

constexpr int64_t kMaxDistance = int64_t{1} << 20;
// Columns are computed together by so many. An odd number of these keeps the rows of a table from
// falling into the same few places of a cache.
constexpr int64_t kColumnsUnit = 16;

// A list, or words with "|" between them.
Result<std::vector<std::string>> ReadTypes(const JsonValue& config) {
  const JsonValue types = config.Find("pos_att_type");
  if (types.IsNull()) return std::vector<std::string>();
  if (types.IsArray()) return config.GetStrings("pos_att_type");
  GRAFT_ASSIGN_OR_RETURN(const std::string text, config.GetString("pos_att_type"));
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + "|") {
    if (c == ' ') continue;
    if (c != '|') {
      word += c;
    } else {
      words.push_back(std::exchange(word, ""));
    }
  }
  return words;
}

// The mean of each row becomes 0 and its variance 1, then it is multiplied and added to.
void Normalize(std::vector<double>& rows, const std::vector<double>& weight,
               const std::vector<double>& bias, double epsilon) {
  const size_t width = weight.size();
  for (size_t begin = 0; begin + width <= rows.size(); begin += width) {
    double sum = 0.0;
    for (size_t i = 0; i < width; ++i) sum += rows[begin + i];
    const double mean = sum / static_cast<double>(width);
    double squares = 0.0;
    for (size_t i = 0; i < width; ++i)
      squares += (rows[begin + i] - mean) * (rows[begin + i] - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(width) + epsilon);
    for (size_t i = 0; i < width; ++i)
      rows[begin + i] = (rows[begin + i] - mean) / deviation * weight[i] + bias[i];
  }
}

}  // namespace

Result<Distances> ReadDistances(const JsonValue& config) {
  Distances distances;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> types, ReadTypes(config));
  for (const std::string& type : types) {
    if (type != "c2p" && type != "p2c" && !type.empty()) {
      return config.Find("pos_att_type")
          .Fail("has \"" + type + "\"; this version knows c2p and p2c", StatusCode::kUnsupported);
    }
    distances.to_positions = distances.to_positions || type == "c2p";
    distances.from_positions = distances.from_positions || type == "p2c";
  }
  distances.types = static_cast<int64_t>(types.size());
  GRAFT_ASSIGN_OR_RETURN(const bool relative, config.GetBool("relative_attention", false));
  if (!relative) return distances;
  GRAFT_ASSIGN_OR_RETURN(distances.farthest,
                         config.GetIntIn("max_relative_positions", -1, kMaxDistance, -1));
  if (distances.farthest < 1) {
    GRAFT_ASSIGN_OR_RETURN(distances.farthest,
                           config.GetIntIn("max_position_embeddings", 1, kMaxDistance, 512));
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t buckets,
                         config.GetIntIn("position_buckets", -1, kMaxDistance, -1));
  distances.buckets = std::max<int64_t>(0, buckets);
  distances.span = distances.buckets > 0 ? distances.buckets : distances.farthest;
  if (distances.buckets > 0 &&
      (distances.buckets < 4 || distances.buckets / 2 + 1 >= distances.farthest)) {
    return config.Find("position_buckets")
        .Fail("must be at least 4, and half of it less than max_relative_positions - 1");
  }
  return distances;
}

int64_t DistanceBucket(const Distances& distances, int64_t distance) {
  const int64_t middle = distances.buckets / 2;
  const int64_t far = std::abs(distance);
  if (distances.buckets == 0 || far <= middle) return distance;
  const auto logarithm = [](float number) {
    return static_cast<float>(std::log(static_cast<double>(number)));
  };
  const float ratio = static_cast<float>(far) / static_cast<float>(middle);
  const auto farthest =
      static_cast<float>(static_cast<double>(distances.farthest - 1) / static_cast<double>(middle));
  const float part = logarithm(ratio) / logarithm(farthest);
  const auto bucket =
      static_cast<int64_t>(std::ceil(part * static_cast<float>(middle - 1))) + middle;
  return distance < 0 ? -bucket : bucket;
}

DistanceTables::DistanceTables(const Distances& distances, const Module& encoder, bool norm,
                               float epsilon)
    : distances_(distances) {
  if (distances.span == 0 || !(distances.to_positions || distances.from_positions)) return;
  GraphBuilder& g = encoder.graph();
  const int64_t rows = 2 * distances.span;
  const std::string source = encoder.Name("rel_embeddings.weight");
  hidden_ = g.RowElementsOf(source);
  std::vector<double> numbers = g.Numbers(source, rows, hidden_);
  if (numbers.empty()) return;
  if (norm) {
    Normalize(numbers, g.Numbers(encoder.Name("LayerNorm.weight"), hidden_),
              g.Numbers(encoder.Name("LayerNorm.bias"), hidden_), epsilon);
  }
  columns_ = ((rows + kColumnsUnit - 1) / kColumnsUnit | 1) * kColumnsUnit;
  std::vector<double> columns(static_cast<size_t>(hidden_ * columns_));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < hidden_; ++k) {
      columns[static_cast<size_t>(k * columns_ + row)] =
          numbers[static_cast<size_t>(row * hidden_ + k)];
    }
  }
  embeddings_ = std::make_shared<const std::vector<double>>(std::move(columns));
  const int64_t farthest = std::max(distances.farthest, distances.span);
  std::vector<float> by_distance;
  for (int64_t ahead = -farthest; ahead <= farthest; ++ahead) {
    const int64_t column = DistanceBucket(distances, -ahead) + distances.span;
    by_distance.push_back(static_cast<float>(std::clamp<int64_t>(column, 0, rows - 1)));
  }
  ids_.columns = g.Literal("columns_by_distance", std::move(by_distance));
  ids_.before = farthest;
}

TensorId DistanceTables::Project(const Module& attention, const std::string& projection, bool bias,
                                 const std::string& name, int64_t out_features) const {
  GraphBuilder& g = attention.graph();
  TensorPart part = {.source = attention.Name(projection) + ".weight",
                     .source_rows = out_features,
                     .vectors = embeddings_};
  if (bias) part.row_offsets = g.Numbers(attention.Name(projection) + ".bias", out_features);
  return g.Products(attention.Name(name), std::move(part), out_features, hidden_, columns_);
}

PositionTableIds DistanceTables::OfLayer(const Module& attention,
                                         const DistanceProjections& projections,
                                         int64_t out_features) {
  if (embeddings_ == nullptr) return {};
  PositionTableIds ids = ids_;
  if (distances_.to_positions) {
    ids.query =
        Project(attention, projections.keys, projections.key_bias, "query_positions", out_features);
  }
  if (distances_.from_positions) {
    ids.key = Project(attention, projections.queries, /*bias=*/true, "key_positions", out_features);
  }
  return ids;
}

}  // namespace graft::converter
