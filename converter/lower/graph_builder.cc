// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/graph_builder.h"

#include <algorithm>
#include <cinttypes>

namespace graft::converter {
namespace {

namespace fb = schema::fb;

}  // namespace

int32_t GraphBuilder::Symbol(std::string_view name) {
  const auto found = std::find(symbols_.begin(), symbols_.end(), name);
  if (found != symbols_.end()) return static_cast<int32_t>(found - symbols_.begin());
  symbols_.emplace_back(name);
  return static_cast<int32_t>(symbols_.size() - 1);
}

ValueId GraphBuilder::AddValue(std::string_view name, const ValueShape& shape,
                               const std::vector<fb::Dimension>& dimensions, fb::ElementType type) {
  const auto dimension_vector = header_.CreateVectorOfStructs(dimensions);
  values_.push_back(fb::CreateValue(header_, header_.CreateString(name.data(), name.size()),
                                    dimension_vector, type));
  value_shapes_.push_back(shape);
  return ValueId{static_cast<int32_t>(values_.size() - 1)};
}

ValueId GraphBuilder::AddInput(ValueId value, fb::InputRole role) {
  inputs_.push_back(fb::CreateGraphInput(header_, value.index, role));
  return value;
}

ValueId GraphBuilder::IndexInput(std::string_view name, std::string_view symbol,
                                 fb::InputRole role) {
  const int32_t rows = Symbol(symbol);
  return AddInput(AddValue(name, {.rows_symbol = rows}, {{0, rows}}, fb::ElementType::Int32), role);
}

ValueId GraphBuilder::TokenIds(std::string_view name) {
  return IndexInput(name, "sequence", fb::InputRole::TokenIds);
}

ValueId GraphBuilder::Positions() {
  positions_ = IndexInput("positions", "sequence", fb::InputRole::Positions);
  return positions_;
}

ValueId GraphBuilder::OutputRows() {
  return IndexInput("output_rows", "output_rows", fb::InputRole::OutputRows);
}

ValueId GraphBuilder::TokenTypes() {
  return IndexInput("token_type_ids", "sequence", fb::InputRole::TokenTypes);
}

ValueId GraphBuilder::SourceIds() {
  return IndexInput("input_ids", "source", fb::InputRole::SourceIds);
}

ValueId GraphBuilder::SourcePositions() {
  return IndexInput("source_positions", "source", fb::InputRole::SourcePositions);
}

ValueId GraphBuilder::SourceFeatures(std::string_view name, int64_t channels, int64_t frames) {
  const ValueId value = AddValue(name, FixedRows(frames, channels),
                                 {{channels, -1}, {1, -1}, {frames, -1}}, fb::ElementType::Float32);
  return AddInput(value, fb::InputRole::SourceFeatures);
}

ValueId GraphBuilder::ImagePatches(std::string_view name, int64_t width) {
  const int32_t rows = Symbol("patches");
  const ValueId value =
      AddValue(name, {rows, width}, {{0, rows}, {width, -1}}, fb::ElementType::Float32);
  return AddInput(value, fb::InputRole::ImagePatches);
}

ValueId GraphBuilder::ImagePositions() {
  return IndexInput("image_positions", "patches", fb::InputRole::ImagePositions);
}

ValueId GraphBuilder::MergePatches(std::string_view name, ValueId x, int64_t count, bool mean) {
  const ValueShape shape = {Symbol("image_rows"), mean ? Width(x) : Width(x) * count};
  return Op(name, {x}, shape, fb::CreateMergePatches(header_, U32(count), mean));
}

ValueId GraphBuilder::TextEnds() {
  text_ends_ = IndexInput("text_ends", "texts", fb::InputRole::TextEnds);
  return text_ends_;
}

ValueId GraphBuilder::TensorInput(std::string_view name, int64_t width) {
  const int32_t rows = Symbol("sequence");
  const ValueId value =
      AddValue(name, {rows, width}, {{0, rows}, {width, -1}}, fb::ElementType::Float32);
  return AddInput(value, fb::InputRole::Tensor);
}

ValueId GraphBuilder::ImageInput(std::string_view name, int64_t channels, int64_t height,
                                 int64_t width) {
  const ValueId value =
      AddValue(name, FixedRows(height * width, channels),
               {{channels, -1}, {height, -1}, {width, -1}}, fb::ElementType::Float32);
  return AddInput(value, fb::InputRole::Tensor);
}

int32_t GraphBuilder::AddKvCache(std::string_view name, const AttentionShape& shape,
                                 bool of_source) {
  kv_caches_.push_back(fb::CreateKvCache(header_, header_.CreateString(name.data(), name.size()),
                                         U32(shape.kv_heads), U32(shape.head_dim), of_source));
  return static_cast<int32_t>(kv_caches_.size() - 1);
}

flatbuffers::Offset<fb::Attention> GraphBuilder::AttentionOf(const AttentionShape& shape,
                                                             int32_t kv_cache, bool causal) {
  flatbuffers::Offset<fb::PositionTables> tables;
  if (const PositionTableIds& ids = shape.position_tables; ids.columns.index >= 0) {
    tables = fb::CreatePositionTables(header_, ids.query.index, ids.key.index, ids.columns.index,
                                      U32(ids.before));
  }
  const auto regions = shape.regions.empty() ? flatbuffers::Offset<flatbuffers::Vector<uint8_t>>()
                                             : header_.CreateVector(shape.regions);
  return fb::CreateAttention(header_, U32(shape.heads), U32(shape.kv_heads), U32(shape.head_dim),
                             shape.scale, shape.soft_cap, U32(shape.window), kv_cache, causal,
                             shape.alibi_slopes.index, shape.alibi_scale, shape.alibi_rounded,
                             shape.position_bias.index, U32(shape.position_bias_before),
                             shape.both_ways, tables, shape.sinks.index, shape.score_bias.index,
                             U32(shape.block), regions, shape.image_runs);
}

int32_t GraphBuilder::AddState(std::string_view name, int64_t rows, int64_t width) {
  if (text_ends_.index >= 0) return -1;
  states_.push_back(fb::CreateState(header_, header_.CreateString(name.data(), name.size()),
                                    U32(rows), U32(width)));
  return static_cast<int32_t>(states_.size() - 1);
}

ValueId GraphBuilder::ShortConvolution(std::string_view name, ValueId x, TensorId weight,
                                       TensorId bias, bool gated) {
  const int64_t width = constant(weight).shape[1];
  const int32_t state = AddState(name, constant(weight).shape[0] - 1, width);
  return Op(name, {x, text_ends_}, RowsLike(x, width),
            fb::CreateShortConvolution(header_, weight.index, bias.index, gated, state));
}

ValueId GraphBuilder::GatedDeltaRule(std::string_view name, ValueId qkv, ValueId a, ValueId b,
                                     const DeltaRuleShape& shape) {
  const int32_t state = AddState(name, shape.value_heads * shape.key_dim, shape.value_dim);
  return Op(name, {qkv, a, b, text_ends_}, RowsLike(qkv, shape.values()),
            fb::CreateGatedDeltaRule(header_, U32(shape.key_heads), U32(shape.value_heads),
                                     U32(shape.key_dim), U32(shape.value_dim), shape.rates.index,
                                     shape.offsets.index, shape.epsilon, state));
}

ValueId GraphBuilder::SelectiveScan(std::string_view name, ValueId x, ValueId bc, ValueId steps,
                                    const ScanShape& shape) {
  const int32_t state = AddState(name, shape.shared(), shape.width() / shape.groups);
  return Op(
      name, {x, bc, steps, text_ends_}, RowsLike(x, shape.width()),
      fb::CreateSelectiveScan(header_, U32(shape.heads), U32(shape.head_dim), U32(shape.groups),
                              U32(shape.state_dim), shape.rates.index, shape.offsets.index,
                              shape.skips.index, shape.step_low, shape.step_high, state));
}

ValueId GraphBuilder::GatedRecurrence(std::string_view name, ValueId x,
                                      const RecurrenceShape& shape) {
  const int32_t state = AddState(name, 1, Width(x));
  return Op(name, {x, text_ends_}, ShapeOf(x),
            fb::CreateGatedRecurrence(header_, U32(shape.blocks), shape.input_weight.index,
                                      shape.input_bias.index, shape.gate_weight.index,
                                      shape.gate_bias.index, shape.rates.index, state));
}

void GraphBuilder::CheckTakes(TensorId weight, ValueId x) {
  const Constant& matrix = constant(weight);
  if (matrix.shape[1] == Width(x)) return;
  Fail(Error(StatusCode::kMismatch,
             "%s: tensor '%s' takes %" PRId64 " features, what it is applied to has %" PRId64,
             source_name().c_str(), matrix.name.c_str(), matrix.shape[1], Width(x)));
}

ValueId GraphBuilder::AddOp(std::string_view name, const std::vector<ValueId>& inputs,
                            const ValueShape& output, fb::OpAttributes type,
                            flatbuffers::Offset<void> attributes) {
  const ValueId result =
      AddRows(name, output, output.width > 0 ? fb::ElementType::Float32 : fb::ElementType::Int32);
  AddOp(name, inputs, std::vector<ValueId>{result}, type, attributes);
  return result;
}

void GraphBuilder::AddOp(std::string_view name, const std::vector<ValueId>& inputs,
                         const std::vector<ValueId>& outputs, fb::OpAttributes type,
                         flatbuffers::Offset<void> attributes) {
  const auto indices = [](const std::vector<ValueId>& values) {
    std::vector<int32_t> operands;
    for (const ValueId value : values) {
      if (value.index >= 0) operands.push_back(value.index);
    }
    return operands;
  };
  const auto op_name = header_.CreateString(name.data(), name.size());
  const auto op_inputs = header_.CreateVector(indices(inputs));
  const auto op_outputs = header_.CreateVector(indices(outputs));
  ops_.push_back(fb::CreateOp(header_, op_name, op_inputs, op_outputs, type, attributes));
}

ValueId GraphBuilder::Planes(std::string_view name, ValueId pixels, const ImageSize& size) {
  const int64_t channels = Width(pixels);
  const ValueId planes =
      AddValue(name, FixedRows(channels, size.pixels()),
               {{channels, -1}, {size.height, -1}, {size.width, -1}}, fb::ElementType::Float32);
  AddOp(name, {pixels}, std::vector<ValueId>{planes}, fb::OpAttributes::Planes,
        fb::CreatePlanes(header_).Union());
  return planes;
}

Routed GraphBuilder::Route(std::string_view name, ValueId scores, const RoutingShape& shape) {
  const ValueShape chosen = RowsLike(scores, shape.choices);
  const auto route = fb::CreateRoute(header_, shape.kind, shape.bias.index, shape.normalized,
                                     shape.epsilon, shape.scale, shape.jitter);
  const ValueId weights = AddRows(name, chosen, fb::ElementType::Float32);
  const ValueId choices = AddRows(std::string(name) + ".choices", chosen, fb::ElementType::Int32);
  AddOp(name, {scores}, std::vector<ValueId>{weights, choices}, fb::OpAttributes::Route,
        route.Union());
  return {weights, choices};
}

ValueId GraphBuilder::ExpertLinear(std::string_view name, ValueId x, ValueId choices,
                                   int64_t experts, TensorId weight, TensorId bias) {
  const int64_t out_features = constant(weight).shape[0] / experts;
  return Op(name, {x, choices}, RowsLike(x, Width(choices) * out_features),
            fb::CreateExpertLinear(header_, weight.index, bias.index, U32(experts)));
}

Result<flatbuffers::Offset<fb::Graph>> GraphBuilder::Finish() {
  GRAFT_RETURN_IF_ERROR(status());
  const auto symbols = header_.CreateVectorOfStrings(symbols_);
  const auto values = header_.CreateVector(values_);
  const auto inputs = header_.CreateVector(inputs_);
  const auto outputs = header_.CreateVector(outputs_);
  const auto kv_caches = header_.CreateVector(kv_caches_);
  const auto ops = header_.CreateVector(ops_);
  // Absent rather than empty, as in files of before there were any.
  const auto states = states_.empty() ? 0 : header_.CreateVector(states_);
  return fb::CreateGraph(header_, symbols, values, inputs, outputs, kv_caches, ops, states);
}

}  // namespace graft::converter
