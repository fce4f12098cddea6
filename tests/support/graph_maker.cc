// SPDX-License-Identifier: Apache-2.0
#include "tests/support/graph_maker.h"

#include <cmath>
#include <cstring>

#include "hwy/base.h"
#include <doctest/doctest.h>

namespace graft::test {
namespace {

template <typename T>
std::span<const uint8_t> Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

uint16_t BFloat16Bits(float number) {
  uint32_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float FromBFloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float number;
  std::memcpy(&number, &wide, sizeof(number));
  return number;
}

}  // namespace

std::vector<float> RandomFloats(std::mt19937& random, size_t count, double spread) {
  std::normal_distribution<double> normal(0.0, spread);
  std::vector<float> floats(count);
  for (float& number : floats) number = static_cast<float>(normal(random));
  return floats;
}

Numbers AsNumbers(std::span<const float> floats, size_t rows) {
  return {rows, floats.size() / rows, {floats.begin(), floats.end()}};
}

int32_t GraphMaker::TensorInput(const std::string& name, int64_t width) {
  return builder_.Input(name, {Symbolic(Rows()), Fixed(width)}, fb::InputRole::Tensor,
                        fb::ElementType::Float32);
}

void GraphMaker::TokenInputs() {
  token_ids_ = builder_.Input("input_ids", {Symbolic(Rows())}, fb::InputRole::TokenIds);
  positions_ = builder_.Input("positions", {Symbolic(Rows())}, fb::InputRole::Positions);
  output_dimension_ = builder_.Symbol("output_rows");
  output_rows_ =
      builder_.Input("output_rows", {Symbolic(output_dimension_)}, fb::InputRole::OutputRows);
}

Weight GraphMaker::RandomWeight(const std::string& name, fb::TensorFormat format, size_t out,
                                size_t in, size_t block_size) {
  Weight weight;
  weight.format = format;
  weight.block_size = block_size;
  weight.numbers = Numbers::Zeros(out, in);
  const std::vector<int64_t> shape = {static_cast<int64_t>(out), static_cast<int64_t>(in)};
  const std::vector<float> floats =
      RandomFloats(random_, out * in, 1.0 / std::sqrt(static_cast<double>(in)));
  std::uniform_real_distribution<float> scale_of(0.005f, 0.02f);
  switch (format) {
    case fb::TensorFormat::Float32:
    case fb::TensorFormat::Int32:
      weight.numbers.at.assign(floats.begin(), floats.end());
      weight.tensor = builder_.Tensor(name, fb::TensorFormat::Float32, shape, Bytes(floats));
      break;
    case fb::TensorFormat::Float16:
    case fb::TensorFormat::BFloat16: {
      std::vector<uint16_t> bits(floats.size());
      for (size_t i = 0; i < floats.size(); ++i) {
        if (format == fb::TensorFormat::Float16) {
          const hwy::float16_t half = hwy::F16FromF32(floats[i]);
          std::memcpy(&bits[i], &half, 2);
          weight.numbers.at[i] = hwy::F32FromF16(half);
        } else {
          bits[i] = BFloat16Bits(floats[i]);
          weight.numbers.at[i] = FromBFloat16(bits[i]);
        }
      }
      weight.tensor = builder_.Tensor(name, format, shape, Bytes(bits));
      break;
    }
    case fb::TensorFormat::Int8PerChannel: {
      std::uniform_int_distribution<int> code(-127, 127);
      std::vector<int8_t> codes(out * in);
      std::vector<float> scales(out);
      for (size_t row = 0; row < out; ++row) {
        scales[row] = scale_of(random_) / 8;
        for (size_t i = row * in; i < (row + 1) * in; ++i) {
          codes[i] = static_cast<int8_t>(code(random_));
          weight.codes.push_back(codes[i]);
          weight.numbers.at[i] = codes[i] * static_cast<double>(scales[row]);
        }
      }
      weight.scales.assign(scales.begin(), scales.end());
      weight.tensor = builder_.Tensor(name, format, shape, Bytes(codes), Bytes(scales));
      break;
    }
    case fb::TensorFormat::Int4Block:
    case fb::TensorFormat::Int4PerChannel: {
      const bool blocks = format == fb::TensorFormat::Int4Block;
      const size_t run = blocks ? block_size : in;
      std::uniform_int_distribution<int> code(0, 15);
      std::vector<uint8_t> codes(out * in / 2);
      std::vector<uint16_t> block_scales;
      std::vector<float> row_scales;
      for (size_t i = 0; i < out * in; ++i) {
        if (i % run == 0) {
          float scale = scale_of(random_);
          block_scales.push_back(BFloat16Bits(scale));
          if (blocks) scale = FromBFloat16(block_scales.back());
          row_scales.push_back(scale);
          weight.scales.push_back(scale);
        }
        const int drawn = code(random_);
        codes[i / 2] = static_cast<uint8_t>(codes[i / 2] | drawn << (i % 2 * 4));
        weight.codes.push_back(drawn - 8);
        weight.numbers.at[i] = (drawn - 8) * weight.scales.back();
      }
      weight.tensor = builder_.Tensor(name, format, shape, Bytes(codes),
                                      blocks ? Bytes(block_scales) : Bytes(row_scales),
                                      static_cast<uint32_t>(blocks ? block_size : 0));
      break;
    }
  }
  return weight;
}

Weight GraphMaker::RandomVector(const std::string& name, size_t size, double center,
                                double spread) {
  std::vector<float> floats = RandomFloats(random_, size, spread);
  for (float& number : floats) number += static_cast<float>(center);
  Weight weight;
  weight.numbers = {1, size, {floats.begin(), floats.end()}};
  weight.tensor = builder_.FloatTensor(name, {static_cast<int64_t>(size)}, floats);
  return weight;
}

int32_t GraphMaker::NewValue(int64_t width) {
  return builder_.Value("value" + std::to_string(next_++), {Symbolic(Rows()), Fixed(width)});
}

void GraphMaker::Op(std::vector<int32_t> inputs, int32_t output, fb::OpAttributes kind,
                    flatbuffers::Offset<void> attributes) {
  builder_.Op("op" + std::to_string(next_++), std::move(inputs), {output}, kind, attributes);
}

int32_t GraphMaker::Embedding(const Weight& table, float scale) {
  const int32_t out = NewValue(static_cast<int64_t>(table.numbers.width));
  Op({token_ids_}, out, fb::OpAttributes::Embedding,
     fb::CreateEmbedding(builder_.builder(), table.tensor, scale).Union());
  return out;
}

int32_t GraphMaker::PositionEmbedding(const Weight& table) {
  const int32_t out = NewValue(static_cast<int64_t>(table.numbers.width));
  Op({positions_}, out, fb::OpAttributes::Embedding,
     fb::CreateEmbedding(builder_.builder(), table.tensor).Union());
  return out;
}

int32_t GraphMaker::Linear(int32_t x, const Weight& weight, const Weight* bias) {
  const int32_t out = NewValue(static_cast<int64_t>(weight.numbers.rows));
  Op({x}, out, fb::OpAttributes::Linear,
     fb::CreateLinear(builder_.builder(), weight.tensor, bias == nullptr ? -1 : bias->tensor)
         .Union());
  return out;
}

int32_t GraphMaker::RmsNorm(int32_t x, int64_t width, const Weight& weight, float epsilon) {
  const int32_t out = NewValue(width);
  Op({x}, out, fb::OpAttributes::RmsNorm,
     fb::CreateRmsNorm(builder_.builder(), weight.tensor, epsilon).Union());
  return out;
}

int32_t GraphMaker::LayerNorm(int32_t x, int64_t width, const Weight& weight, const Weight* bias,
                              float epsilon, uint32_t group) {
  const int32_t out = NewValue(width);
  Op({x}, out, fb::OpAttributes::LayerNorm,
     fb::CreateLayerNorm(builder_.builder(), weight.tensor, bias == nullptr ? -1 : bias->tensor,
                         epsilon, group)
         .Union());
  return out;
}

int32_t GraphMaker::Rope(int32_t x, int64_t width, const Weight& inverse_frequencies,
                         uint32_t head_dim, uint32_t rotary_dim, bool interleaved, float magnitude,
                         float growth, uint32_t growth_positions) {
  const int32_t out = NewValue(width);
  Op({x, positions_}, out, fb::OpAttributes::Rope,
     fb::CreateRope(builder_.builder(), inverse_frequencies.tensor, head_dim, rotary_dim,
                    interleaved, magnitude, 0, growth, growth_positions)
         .Union());
  return out;
}

int32_t GraphMaker::Attention(int32_t query, int32_t key, int32_t value,
                              const AttentionOptions& options) {
  const int32_t out = NewValue(int64_t{options.heads} * options.head_dim);
  const int32_t slopes =
      options.alibi_slopes.empty()
          ? -1
          : builder_.FloatTensor("slopes", {options.heads}, options.alibi_slopes);
  const int32_t sinks =
      options.sinks.empty() ? -1 : builder_.FloatTensor("sinks", {options.heads}, options.sinks);
  const int64_t distances = static_cast<int64_t>(options.position_bias.size()) / options.heads;
  const int32_t bias =
      options.position_bias.empty()
          ? -1
          : builder_.FloatTensor("bias", {options.heads, distances}, options.position_bias);
  flatbuffers::Offset<fb::PositionTables> tables;
  if (!options.columns.empty()) {
    const int64_t rows = int64_t{options.heads} * options.head_dim;
    const auto table = [&](const char* name, const std::vector<float>& numbers) {
      const auto width = static_cast<int64_t>(numbers.size()) / rows;
      return numbers.empty() ? -1 : builder_.FloatTensor(name, {rows, width}, numbers);
    };
    const int32_t queries = table("query_table", options.query_table);
    const int32_t keys = table("key_table", options.key_table);
    const auto distances_of_columns = static_cast<int64_t>(options.columns.size());
    tables = fb::CreatePositionTables(
        builder_.builder(), queries, keys,
        builder_.FloatTensor("columns", {distances_of_columns}, options.columns),
        options.columns_before);
  }
  std::vector<int32_t> inputs = {query, key, value};
  if (positions_ >= 0) inputs.push_back(positions_);
  Op(std::move(inputs), out, fb::OpAttributes::Attention,
     fb::CreateAttention(builder_.builder(), options.heads, options.kv_heads, options.head_dim,
                         options.scale, options.soft_cap, options.window, options.kv_cache,
                         options.causal, slopes, options.alibi_scale, options.alibi_rounded, bias,
                         options.position_bias_before, options.both_ways, tables, sinks)
         .Union());
  return out;
}

int32_t GraphMaker::Clamp(int32_t x, int64_t width, float low, float high) {
  const int32_t out = NewValue(width);
  Op({x}, out, fb::OpAttributes::Clamp, fb::CreateClamp(builder_.builder(), low, high).Union());
  return out;
}

int32_t GraphMaker::Xielu(int32_t x, int64_t width, float alpha_p, float alpha_n, float beta,
                          float epsilon) {
  const int32_t out = NewValue(width);
  Op({x}, out, fb::OpAttributes::Xielu,
     fb::CreateXielu(builder_.builder(), alpha_p, alpha_n, beta, epsilon).Union());
  return out;
}

int32_t GraphMaker::Binary(fb::OpAttributes kind, int32_t a, int32_t b, int64_t width,
                           fb::ActivationKind activation) {
  const int32_t out = NewValue(width);
  flatbuffers::Offset<void> attributes;
  if (kind == fb::OpAttributes::Add) attributes = fb::CreateAdd(builder_.builder()).Union();
  if (kind == fb::OpAttributes::Multiply)
    attributes = fb::CreateMultiply(builder_.builder()).Union();
  if (kind == fb::OpAttributes::GatedActivation)
    attributes = fb::CreateGatedActivation(builder_.builder(), activation).Union();
  Op({a, b}, out, kind, attributes);
  return out;
}

int32_t GraphMaker::Activation(int32_t x, int64_t width, fb::ActivationKind kind) {
  const int32_t out = NewValue(width);
  Op({x}, out, fb::OpAttributes::Activation,
     fb::CreateActivation(builder_.builder(), kind).Union());
  return out;
}

int32_t GraphMaker::SelectRows(int32_t x, int64_t width) {
  // From here on, rows are output rows.
  rows_ = output_dimension_;
  const int32_t out = NewValue(width);
  Op({x, output_rows_}, out, fb::OpAttributes::SelectRows,
     fb::CreateSelectRows(builder_.builder()).Union());
  return out;
}

GraphMaker::Routed GraphMaker::Route(int32_t scores, const RouteOptions& options) {
  Routed routed;
  routed.weights = NewValue(options.choices);
  routed.choices =
      builder_.Value("choices" + std::to_string(next_++),
                     {Symbolic(Rows()), Fixed(options.choices)}, fb::ElementType::Int32);
  const int32_t bias =
      options.bias.empty()
          ? -1
          : builder_.FloatTensor("routing_bias", {static_cast<int64_t>(options.bias.size())},
                                 options.bias);
  builder_.Op("route" + std::to_string(next_++), {scores}, {routed.weights, routed.choices},
              fb::OpAttributes::Route,
              fb::CreateRoute(builder_.builder(), options.kind, bias, options.normalized,
                              options.epsilon, options.scale, options.jitter)
                  .Union());
  return routed;
}

int32_t GraphMaker::ExpertLinear(int32_t x, const Routed& routed, const RouteOptions& options,
                                 size_t experts, const Weight& weight, const Weight* bias) {
  const int32_t out =
      NewValue(options.choices * static_cast<int64_t>(weight.numbers.rows / experts));
  Op({x, routed.choices}, out, fb::OpAttributes::ExpertLinear,
     fb::CreateExpertLinear(builder_.builder(), weight.tensor, bias == nullptr ? -1 : bias->tensor,
                            static_cast<uint32_t>(experts))
         .Union());
  return out;
}

int32_t GraphMaker::WeightedSum(int32_t x, int32_t weights, int64_t width) {
  const int32_t out = NewValue(width);
  Op({x, weights}, out, fb::OpAttributes::WeightedSum,
     fb::CreateWeightedSum(builder_.builder()).Union());
  return out;
}

int32_t GraphMaker::Scale(int32_t x, int64_t width, float factor) {
  const int32_t out = NewValue(width);
  Op({x}, out, fb::OpAttributes::Scale, fb::CreateScale(builder_.builder(), factor).Union());
  return out;
}

int32_t GraphMaker::Any(std::vector<int32_t> inputs, int64_t width, fb::OpAttributes kind,
                        flatbuffers::Offset<void> attributes) {
  const int32_t out = NewValue(width);
  Op(std::move(inputs), out, kind, attributes);
  return out;
}

std::shared_ptr<const runtime::Model> GraphMaker::Open(unsigned threads) {
  file_ = builder_.Finish();
  runtime::ModelOptions options;
  options.threads = threads;
  options.verify_contents = true;
  auto model = runtime::Model::Open(std::make_unique<runtime::MemorySource>(file_.span()), options);
  REQUIRE_MESSAGE(model.ok(), std::string(model.status().message()));
  return std::move(model).value();
}

std::unique_ptr<runtime::Session> NewSession(std::shared_ptr<const runtime::Model> model,
                                             const runtime::SessionOptions& options) {
  auto session = runtime::Session::Create(std::move(model), options);
  REQUIRE_MESSAGE(session.ok(), std::string(session.status().message()));
  return std::move(session).value();
}

Numbers ForwardNumbers(runtime::Session& session, const std::vector<float>& x, size_t width,
                       const std::vector<float>* y, size_t y_width) {
  const auto rows = static_cast<int64_t>(x.size() / width);
  std::vector<runtime::TensorView> inputs = {
      {"x", runtime::ElementType::kFloat32, {rows, static_cast<int64_t>(width)}, x.data()}};
  if (y != nullptr) {
    inputs.push_back(
        {"y", runtime::ElementType::kFloat32, {rows, static_cast<int64_t>(y_width)}, y->data()});
  }
  const auto outputs = session.Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
  const runtime::TensorView& view = (*outputs)[0];
  const auto* floats = static_cast<const float*>(view.data);
  const auto elements = static_cast<size_t>(view.shape[0] * view.shape[1]);
  return {static_cast<size_t>(view.shape[0]),
          static_cast<size_t>(view.shape[1]),
          {floats, floats + elements}};
}

}  // namespace graft::test
