// SPDX-License-Identifier: Apache-2.0
// GraphMaker: builds models of random weights op by op, and keeps the weights as numbers for a
// reference to use.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/session.h"
#include "tests/support/model_builder.h"

namespace graft::test {

/// A matrix or vector of f64, row-major.
struct Numbers {
  size_t rows = 0;
  size_t width = 0;
  std::vector<double> at;
  double operator()(size_t row, size_t column) const { return at[row * width + column]; }
  double& operator()(size_t row, size_t column) { return at[row * width + column]; }
  static Numbers Zeros(size_t rows, size_t width) {
    return {rows, width, std::vector<double>(rows * width)};
  }
};

/// A weight as stored: what its numbers are, and the codes they came from (for integer references).
struct Weight {
  int32_t tensor = -1;
  fb::TensorFormat format = fb::TensorFormat::Float32;
  size_t block_size = 0;
  Numbers numbers;             // dequantized
  std::vector<int> codes;      // quantized formats: code - zero point
  std::vector<double> scales;  // one for each row, or each block of each row
};

class GraphMaker {
 public:
  explicit GraphMaker(uint32_t seed) : random_(seed) {}

  ModelBuilder& builder() { return builder_; }
  std::mt19937& random() { return random_; }

  int32_t Rows() { return rows_ < 0 ? rows_ = builder_.Symbol("rows") : rows_; }
  int32_t TensorInput(const std::string& name, int64_t width);
  /// Adds token ids, positions and output rows; Rows() is the token dimension.
  void TokenInputs();
  int32_t token_ids() const { return token_ids_; }
  int32_t positions() const { return positions_; }

  Weight RandomWeight(const std::string& name, fb::TensorFormat format, size_t out, size_t in,
                      size_t block_size = 0);
  /// f32 vector with elements around `center`.
  Weight RandomVector(const std::string& name, size_t size, double center, double spread);

  int32_t Embedding(const Weight& table, float scale = 1.0f);
  int32_t PositionEmbedding(const Weight& table);
  int32_t Linear(int32_t x, const Weight& weight, const Weight* bias = nullptr);
  int32_t RmsNorm(int32_t x, int64_t width, const Weight& weight, float epsilon);
  int32_t LayerNorm(int32_t x, int64_t width, const Weight& weight, const Weight* bias,
                    float epsilon, uint32_t group = 0);
  int32_t Rope(int32_t x, int64_t width, const Weight& inverse_frequencies, uint32_t head_dim,
               uint32_t rotary_dim, bool interleaved, float magnitude = 1.0f, float growth = 0.0f,
               uint32_t growth_positions = 0);
  struct AttentionOptions {
    uint32_t heads = 1, kv_heads = 1, head_dim = 8;
    float scale = 1.0f, soft_cap = 0.0f;
    uint32_t window = 0;
    int32_t kv_cache = -1;
    bool causal = true;
    std::vector<float> alibi_slopes = {};  // of each head; empty: none
    float alibi_scale = 1.0f;
    bool alibi_rounded = false;
    std::vector<float> position_bias = {};  // of each head and distance; empty: none
    uint32_t position_bias_before = 0;
    bool both_ways = false;
    // [heads * head_dim, width] each, empty: none; and the column of each distance.
    std::vector<float> query_table = {}, key_table = {}, columns = {};
    uint32_t columns_before = 0;
    std::vector<float> sinks = {};  // of each head; empty: none
  };
  int32_t Attention(int32_t query, int32_t key, int32_t value, const AttentionOptions& options);
  int32_t Binary(fb::OpAttributes kind, int32_t a, int32_t b, int64_t width,
                 fb::ActivationKind activation = fb::ActivationKind::Silu);
  int32_t Activation(int32_t x, int64_t width, fb::ActivationKind kind);
  int32_t SelectRows(int32_t x, int64_t width);
  struct RouteOptions {
    fb::RoutingKind kind = fb::RoutingKind::Softmax;
    int64_t choices = 2;
    std::vector<float> bias = {};  // of each expert; empty: none
    bool normalized = false;
    float epsilon = 0.0f, scale = 1.0f, jitter = 0.0f;
  };
  struct Routed {
    int32_t weights = -1, choices = -1;
  };
  Routed Route(int32_t scores, const RouteOptions& options);
  int32_t ExpertLinear(int32_t x, const Routed& routed, const RouteOptions& options, size_t experts,
                       const Weight& weight, const Weight* bias = nullptr);
  int32_t WeightedSum(int32_t x, int32_t weights, int64_t width);
  int32_t Scale(int32_t x, int64_t width, float factor);
  int32_t Clamp(int32_t x, int64_t width, float low, float high);
  int32_t Xielu(int32_t x, int64_t width, float alpha_p, float alpha_n, float beta, float epsilon);
  /// An op of any kind, whose output is `width` wide.
  int32_t Any(std::vector<int32_t> inputs, int64_t width, fb::OpAttributes kind,
              flatbuffers::Offset<void> attributes);

  void Output(int32_t value) { builder_.Output(value); }
  /// Finishes the file and opens it; `file` keeps its bytes.
  std::shared_ptr<const runtime::Model> Open(unsigned threads = 2);
  const AlignedBytes& file() const { return file_; }

 private:
  int32_t NewValue(int64_t width);
  void Op(std::vector<int32_t> inputs, int32_t output, fb::OpAttributes kind,
          flatbuffers::Offset<void> attributes);

  ModelBuilder builder_;
  std::mt19937 random_;
  AlignedBytes file_;
  int32_t rows_ = -1, output_dimension_ = -1;
  int32_t token_ids_ = -1, positions_ = -1, output_rows_ = -1;
  int32_t next_ = 0;
};

std::unique_ptr<runtime::Session> NewSession(std::shared_ptr<const runtime::Model> model,
                                             const runtime::SessionOptions& options);

/// `count` numbers, normally distributed, as f32 and as f64.
std::vector<float> RandomFloats(std::mt19937& random, size_t count, double spread = 1.0);
Numbers AsNumbers(std::span<const float> floats, size_t rows);

/// Runs forward on one f32 input of [rows, width] called "x" (and "y", if given) and returns the
/// first output.
Numbers ForwardNumbers(runtime::Session& session, const std::vector<float>& x, size_t width,
                       const std::vector<float>* y = nullptr, size_t y_width = 0);

}  // namespace graft::test
