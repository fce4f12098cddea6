// SPDX-License-Identifier: Apache-2.0
// Each half of the query heads gives an attention; both are over values twice as wide, made of a
// head of the first half and one of the second. Queries and keys get zeros to that width, which
// changes no score.
#include "converter/lower/architectures/differential_attention.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "converter/lower/decoder_parts.h"

namespace graft::converter {
namespace {

// Which heads of a matrix serve the pairs of one, and in which order.
class Pairs {
 public:
  explicit Pairs(const AttentionShape& all) : all_(all), half_(all.heads / 2) {
    // Halves of an odd number of key heads would share one: each query head then gets its own.
    shape_ = all;
    shape_.heads = half_;
    shape_.kv_heads = all.kv_heads % 2 == 0 ? all.kv_heads / 2 : half_;
    shape_.head_dim = 2 * all.head_dim;
  }

  /// Of one half's attention.
  const AttentionShape& shape() const { return shape_; }

  RowRuns Queries(int64_t half) const {
    RowRuns rows;
    for (int64_t head = 0; head < half_; ++head) {
      AppendHead(half * half_ + head, &rows);
      AppendZeros(&rows);
    }
    return rows;
  }
  RowRuns Keys(int64_t half) const {
    RowRuns rows;
    for (int64_t head = 0; head < shape_.kv_heads; ++head) {
      AppendHead(KeyHead(head, half), &rows);
      AppendZeros(&rows);
    }
    return rows;
  }
  RowRuns Values() const {
    RowRuns rows;
    for (int64_t head = 0; head < shape_.kv_heads; ++head) {
      AppendHead(KeyHead(head, 0), &rows);
      AppendHead(KeyHead(head, 1), &rows);
    }
    return rows;
  }

 private:
  // The key head that the queries of pair `head` have in a half.
  int64_t KeyHead(int64_t head, int64_t half) const {
    const int64_t query = half * half_ + head * (half_ / shape_.kv_heads);
    return query / (all_.heads / all_.kv_heads);
  }
  void AppendHead(int64_t head, RowRuns* rows) const {
    for (int64_t i = 0; i < all_.head_dim; ++i) rows->listed.push_back(head * all_.head_dim + i);
  }
  void AppendZeros(RowRuns* rows) const {
    rows->listed.insert(rows->listed.end(), static_cast<size_t>(all_.head_dim), -1);
  }

  AttentionShape all_;
  AttentionShape shape_;
  int64_t half_;
};

// exp(q1 k1) - exp(q2 k2) + its start.
double Lambda(const Module& m, int64_t head_dim, double start) {
  const auto grown = [&](const char* query, const char* key) {
    const std::vector<double> a = m.graph().Numbers(m.Name(query), head_dim);
    const std::vector<double> b = m.graph().Numbers(m.Name(key), head_dim);
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return std::exp(sum);
  };
  const double first = grown("lambda_q1", "lambda_k1");
  return first - grown("lambda_q2", "lambda_k2") + start;
}

}  // namespace

ValueId DifferentialAttention(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x,
                              const LayerInputs& inputs) {
  GraphBuilder& g = m.graph();
  const AttentionShape all = d.AttentionOf(layer);
  const Pairs pairs(all);
  const AttentionShape& shape = pairs.shape();
  const auto linear = [&](std::string_view name, int64_t heads) {
    return FusedLinear{.name = name, .out_features = heads * all.head_dim, .bias = d.qkv_bias};
  };
  std::optional<RopeShape> rope = inputs.rope;
  rope->head_dim = shape.head_dim;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  const ValueId value =
      m.Linear(linear("v_proj", all.kv_heads), "pairs", x, kv_width, pairs.Values());
  ValueId attended[2];
  for (const int64_t half : {0, 1}) {
    const std::string part = half == 0 ? "first" : "second";
    const ValueId query = m.Linear(linear("q_proj", all.heads), part, x,
                                   shape.heads * shape.head_dim, pairs.Queries(half));
    const ValueId key =
        m.Linear(linear("k_proj", all.kv_heads), part, x, kv_width, pairs.Keys(half));
    attended[half] = Attend(m[part], query, key, value, inputs.positions, shape, rope);
  }
  const double start = 0.8 - 0.6 * std::exp(-0.3 * static_cast<double>(layer));
  const auto lambda = static_cast<float>(Lambda(m, all.head_dim, start));
  const ValueId taken = g.Scale(m.Name("second_scaled"), attended[1], -lambda);
  const ValueId difference = g.Add(m.Name("difference"), attended[0], taken);
  const std::vector<float> weight(static_cast<size_t>(shape.head_dim),
                                  static_cast<float>(1.0 - start));
  return g.RmsNorm(m.Name("groupnorm"), difference, g.Literal(m.Name("groupnorm.weight"), weight),
                   d.epsilon);
}

}  // namespace graft::converter
