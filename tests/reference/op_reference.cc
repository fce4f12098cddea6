// SPDX-License-Identifier: Apache-2.0
#include "tests/reference/op_reference.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

namespace graft::test {

Numbers ReferenceLinear(const Numbers& x, const Weight& weight, const Weight* bias) {
  Numbers y = Numbers::Zeros(x.rows, weight.numbers.rows);
  for (size_t row = 0; row < x.rows; ++row) {
    for (size_t out = 0; out < y.width; ++out) {
      double sum = bias == nullptr ? 0.0 : bias->numbers.at[out];
      for (size_t k = 0; k < x.width; ++k) sum += x(row, k) * weight.numbers(out, k);
      y(row, out) = sum;
    }
  }
  return y;
}

Numbers ReferenceQuantizedLinear(const Numbers& x, const Weight& weight, const Weight* bias) {
  Numbers y = Numbers::Zeros(x.rows, weight.numbers.rows);
  const size_t run = weight.block_size != 0 ? weight.block_size : x.width;
  for (size_t row = 0; row < x.rows; ++row) {
    float low = 0.0f;
    float high = 0.0f;
    for (size_t k = 0; k < x.width; ++k) {
      low = std::min(low, static_cast<float>(x(row, k)));
      high = std::max(high, static_cast<float>(x(row, k)));
    }
    const float steps = low == high ? 1.0f : 255.0f / (high - low);
    const float from_low = -128.0f - low * steps;
    const float from_high = 127.0f - high * steps;
    const float zero = (-128.0f + low * steps) + (127.0f + high * steps) > 0 ? from_low : from_high;
    const int zero_point = static_cast<int>(std::nearbyint(std::clamp(zero, -128.0f, 127.0f)));
    const float scale = 1.0f / steps;
    std::vector<int> codes(x.width);
    for (size_t k = 0; k < x.width; ++k) {
      const float scaled = static_cast<float>(x(row, k)) * (1.0f / scale);
      codes[k] = std::clamp(static_cast<int>(std::nearbyint(scaled)) + zero_point, -128, 127);
    }
    for (size_t out = 0; out < y.width; ++out) {
      double sum = 0.0;
      for (size_t start = 0; start < x.width; start += run) {
        int64_t product = 0;
        for (size_t k = start; k < start + run; ++k) {
          product += int64_t{codes[k] - zero_point} * weight.codes[out * x.width + k];
        }
        sum += static_cast<double>(product) * weight.scales[(out * x.width + start) / run];
      }
      y(row, out) = sum * scale + (bias == nullptr ? 0.0 : bias->numbers.at[out]);
    }
  }
  return y;
}

Numbers ReferenceRmsNorm(const Numbers& x, const Numbers& weight, double epsilon) {
  Numbers y = x;
  const size_t group = weight.width;
  for (size_t start = 0; start < x.at.size(); start += group) {
    double squares = 0.0;
    for (size_t i = 0; i < group; ++i) squares += x.at[start + i] * x.at[start + i];
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(group) + epsilon);
    for (size_t i = 0; i < group; ++i) y.at[start + i] = x.at[start + i] * factor * weight.at[i];
  }
  return y;
}

Numbers ReferenceLayerNorm(const Numbers& x, const Numbers& weight, const Numbers* bias,
                           double epsilon) {
  Numbers y = x;
  const auto count = static_cast<double>(x.width);
  for (size_t row = 0; row < x.rows; ++row) {
    double mean = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < x.width; ++i) mean += x(row, i) / count;
    for (size_t i = 0; i < x.width; ++i) squares += (x(row, i) - mean) * (x(row, i) - mean);
    const double factor = 1.0 / std::sqrt(squares / count + epsilon);
    for (size_t i = 0; i < x.width; ++i) {
      y(row, i) =
          (x(row, i) - mean) * factor * weight.at[i] + (bias == nullptr ? 0.0 : bias->at[i]);
    }
  }
  return y;
}

Numbers ReferenceRope(const Numbers& x, const Numbers& inverse_frequencies, size_t head_dim,
                      size_t rotary_dim, bool interleaved, double magnitude,
                      size_t first_position) {
  Numbers y = x;
  const size_t half = rotary_dim / 2;
  for (size_t row = 0; row < x.rows; ++row) {
    for (size_t head = 0; head < x.width; head += head_dim) {
      for (size_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first_position + row) * inverse_frequencies.at[i];
        const size_t first = head + (interleaved ? 2 * i : i);
        const size_t second = head + (interleaved ? 2 * i + 1 : i + half);
        const double c = std::cos(angle) * magnitude;
        const double s = std::sin(angle) * magnitude;
        y(row, first) = x(row, first) * c - x(row, second) * s;
        y(row, second) = x(row, second) * c + x(row, first) * s;
      }
    }
  }
  return y;
}

namespace {

// The column of position tables for row i and position j.
size_t ColumnOf(const GraphMaker::AttentionOptions& options, size_t i, size_t j) {
  if (options.columns.empty()) return 0;
  const int64_t distance =
      static_cast<int64_t>(j) - static_cast<int64_t>(i) + int64_t{options.columns_before};
  const auto last = static_cast<int64_t>(options.columns.size()) - 1;
  return static_cast<size_t>(
      options.columns[static_cast<size_t>(std::clamp<int64_t>(distance, 0, last))]);
}

double TableNumber(const GraphMaker::AttentionOptions& options, const std::vector<float>& table,
                   size_t row, size_t column) {
  if (table.empty()) return 0.0;
  const size_t width = table.size() / (options.heads * options.head_dim);
  return static_cast<double>(table[row * width + column]);
}

}  // namespace

Numbers ReferenceAttention(const Numbers& query, const Numbers& key, const Numbers& value,
                           const GraphMaker::AttentionOptions& options, size_t first_row) {
  Numbers y = Numbers::Zeros(query.rows, query.width);
  const size_t dim = options.head_dim;
  const size_t group = options.heads / options.kv_heads;
  const bool has_tables = !options.query_table.empty() || !options.key_table.empty();
  for (size_t row = first_row; row < query.rows; ++row) {
    for (size_t head = 0; head < options.heads; ++head) {
      const size_t kv = head / group;
      std::vector<double> weights(key.rows, 0.0);
      double total = 0.0;
      for (size_t j = 0; j < key.rows; ++j) {
        if (options.causal && j > row) continue;
        if (options.window > 0 && row >= j && row - j >= options.window) continue;
        if (options.both_ways && options.window > 0 && j > row && j - row >= options.window)
          continue;
        double score = 0.0;
        for (size_t k = 0; k < dim; ++k) score += query(row, head * dim + k) * key(j, kv * dim + k);
        const size_t column = has_tables ? ColumnOf(options, row, j) : 0;
        for (size_t k = 0; has_tables && k < dim; ++k) {
          const size_t at = head * dim + k;
          score += query(row, at) * TableNumber(options, options.query_table, at, column);
          score += key(j, at % key.width) * TableNumber(options, options.key_table, at, column);
        }
        score *= options.scale;
        if (options.soft_cap > 0) score = options.soft_cap * std::tanh(score / options.soft_cap);
        if (!options.alibi_slopes.empty()) {
          double bias = options.alibi_slopes[head] * static_cast<double>(j);
          if (options.alibi_rounded) {  // to 8 significant bits
            int exponent = 0;
            const double fraction = std::frexp(bias, &exponent);
            bias = std::ldexp(std::nearbyint(fraction * 256.0), exponent - 8);
          }
          score += options.alibi_scale * bias;
        }
        if (!options.position_bias.empty()) {
          const auto distances = static_cast<int64_t>(options.position_bias.size()) / options.heads;
          const int64_t distance = static_cast<int64_t>(j) - static_cast<int64_t>(row) +
                                   int64_t{options.position_bias_before};
          const int64_t place = std::clamp<int64_t>(distance, 0, distances - 1);
          score += options.position_bias[head * static_cast<size_t>(distances) +
                                         static_cast<size_t>(place)];
        }
        weights[j] = std::exp(score);
        total += weights[j];
      }
      if (!options.sinks.empty()) total += std::exp(double{options.sinks[head]});
      for (size_t j = 0; j < key.rows; ++j) {
        const double weight = weights[j] / total;
        for (size_t k = 0; weight != 0.0 && k < dim; ++k)
          y(row, head * dim + k) += weight * value(j, kv * dim + k);
      }
    }
  }
  return y;
}

double ReferenceActivation(fb::ActivationKind kind, double x) {
  switch (kind) {
    case fb::ActivationKind::Silu:
      return x / (1.0 + std::exp(-x));
    case fb::ActivationKind::Gelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case fb::ActivationKind::GeluTanh:
      return 0.5 * x *
             (1.0 +
              std::tanh(std::sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case fb::ActivationKind::Relu:
      return std::max(x, 0.0);
    case fb::ActivationKind::Tanh:
      return std::tanh(x);
    case fb::ActivationKind::Sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case fb::ActivationKind::QuickGelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case fb::ActivationKind::ReluSquared:
      return std::max(x, 0.0) * std::max(x, 0.0);
  }
  return 0.0;
}

double LargestDifference(const Numbers& a, const Numbers& b) {
  REQUIRE(a.rows == b.rows);
  REQUIRE(a.width == b.width);
  double largest = 0.0;
  for (size_t i = 0; i < a.at.size(); ++i) {
    const double difference = std::fabs(a.at[i] - b.at[i]);
    // A NaN is farther away than any number.
    if (!(difference <= largest)) largest = std::isnan(difference) ? HUGE_VAL : difference;
  }
  return largest;
}

double LargestMagnitude(const Numbers& a) {
  double largest = 0.0;
  for (const double number : a.at) largest = std::max(largest, std::fabs(number));
  return largest;
}

}  // namespace graft::test
