// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/graph_builder.h"

#include <algorithm>
#include <cinttypes>

#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

template <typename T>
uint8_t TypeOf() {
  return static_cast<uint8_t>(fb::OpAttributesTraits<T>::enum_value);
}

}  // namespace

fb::ImageWindow StoredWindow(const WindowShape& window) {
  const auto whole = [](int64_t number) { return static_cast<uint32_t>(number); };
  return {whole(window.channels),        whole(window.height),        whole(window.width),
          whole(window.kernel_height),   whole(window.kernel_width),  whole(window.stride_height),
          whole(window.stride_width),    whole(window.pad_height),    whole(window.pad_width),
          whole(window.dilation_height), whole(window.dilation_width)};
}

GraphBuilder::GraphBuilder(const TensorSource& source, std::string source_name,
                           flatbuffers::FlatBufferBuilder& header)
    : source_(source), source_name_(std::move(source_name)), header_(header) {}

void GraphBuilder::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

int32_t GraphBuilder::Symbol(std::string_view name) {
  const auto found = std::find(symbols_.begin(), symbols_.end(), name);
  if (found != symbols_.end()) return static_cast<int32_t>(found - symbols_.begin());
  symbols_.emplace_back(name);
  return static_cast<int32_t>(symbols_.size() - 1);
}

ValueId GraphBuilder::AddValue(std::string_view name, ValueShape shape, fb::ElementType type) {
  std::vector<fb::Dimension> dimensions = {fb::Dimension(shape.rows, shape.rows_symbol)};
  if (shape.width > 0) dimensions.emplace_back(shape.width, -1);
  const auto dimension_vector = header_.CreateVectorOfStructs(dimensions);
  values_.push_back(fb::CreateValue(header_, header_.CreateString(name.data(), name.size()),
                                    dimension_vector, type));
  value_shapes_.push_back(shape);
  return ValueId{static_cast<int32_t>(values_.size() - 1)};
}

ValueId GraphBuilder::AddInput(std::string_view name, ValueShape shape, fb::ElementType type,
                               fb::InputRole role) {
  const ValueId value = AddValue(name, shape, type);
  inputs_.push_back(fb::CreateGraphInput(header_, value.index, role));
  return value;
}

ValueId GraphBuilder::TokenIds() {
  return AddInput("input_ids", {Symbol("sequence"), 0}, fb::ElementType::Int32,
                  fb::InputRole::TokenIds);
}

ValueId GraphBuilder::Positions() {
  return AddInput("positions", {Symbol("sequence"), 0}, fb::ElementType::Int32,
                  fb::InputRole::Positions);
}

ValueId GraphBuilder::OutputRows() {
  return AddInput("output_rows", {Symbol("output_rows"), 0}, fb::ElementType::Int32,
                  fb::InputRole::OutputRows);
}

ValueId GraphBuilder::TensorInput(std::string_view name, int64_t width) {
  return AddInput(name, {Symbol("sequence"), width}, fb::ElementType::Float32,
                  fb::InputRole::Tensor);
}

ValueId GraphBuilder::TokenTypes() {
  return AddInput("token_type_ids", {Symbol("sequence"), 0}, fb::ElementType::Int32,
                  fb::InputRole::TokenTypes);
}

ValueId GraphBuilder::TextEnds() {
  return AddInput("text_ends", {Symbol("texts"), 0}, fb::ElementType::Int32,
                  fb::InputRole::TextEnds);
}

ValueId GraphBuilder::ImageInput(std::string_view name, int64_t channels, int64_t height,
                                 int64_t width) {
  const std::vector<fb::Dimension> dimensions = {{channels, -1}, {height, -1}, {width, -1}};
  const auto dimension_vector = header_.CreateVectorOfStructs(dimensions);
  values_.push_back(fb::CreateValue(header_, header_.CreateString(name.data(), name.size()),
                                    dimension_vector, fb::ElementType::Float32));
  value_shapes_.push_back({-1, channels, height * width});
  const ValueId value{static_cast<int32_t>(values_.size() - 1)};
  inputs_.push_back(fb::CreateGraphInput(header_, value.index, fb::InputRole::Tensor));
  return value;
}

bool GraphBuilder::Has(std::string_view source) const { return source_.Find(source) != nullptr; }

int64_t GraphBuilder::RowsOf(std::string_view source) const {
  const TensorInfo* info = source_.Find(source);
  return info == nullptr || info->shape.empty() ? 0 : info->shape[0];
}

bool GraphBuilder::IsAdapted(std::string_view source) const { return source_.IsAdapted(source); }

void GraphBuilder::CheckShape(std::string_view source, const std::vector<int64_t>& expected) {
  const TensorInfo* info = source_.Find(source);
  if (info == nullptr) {
    Fail(Error(StatusCode::kMismatch, "%s: has no tensor '%.*s', which the model needs as %s",
               source_name_.c_str(), static_cast<int>(source.size()), source.data(),
               ShapeText(expected).c_str()));
    return;
  }
  if (info->shape != expected) {
    Fail(Error(StatusCode::kMismatch, "%s: tensor '%s' has shape %s, the model needs %s",
               source_name_.c_str(), info->name.c_str(), ShapeText(info->shape).c_str(),
               ShapeText(expected).c_str()));
  }
}

TensorId GraphBuilder::AddConstant(Constant constant) {
  const auto found = constant_index_.find(constant.name);
  if (found != constant_index_.end()) return TensorId{found->second};
  const auto index = static_cast<int32_t>(constants_.size());
  constant_index_.emplace(constant.name, index);
  constants_.push_back(std::move(constant));
  return TensorId{index};
}

TensorId GraphBuilder::Matrix(std::string_view source, int64_t out_features, int64_t in_features) {
  return Matrix(source, TensorPart{.source = std::string(source), .source_rows = out_features},
                out_features, in_features);
}

TensorId GraphBuilder::Matrix(std::string_view name, TensorPart part, int64_t out_features,
                              int64_t in_features) {
  return AddPart(name, std::move(part), {out_features, in_features}, /*is_weight_matrix=*/true);
}

TensorId GraphBuilder::Table(std::string_view source, int64_t all_rows, int64_t width,
                             int64_t row_begin) {
  TensorPart part{.source = std::string(source), .source_rows = all_rows};
  part.rows.begin = row_begin;
  return FloatMatrix(source, std::move(part), all_rows - row_begin, width);
}

TensorId GraphBuilder::Kernels(std::string_view source, int64_t out_channels,
                               const WindowShape& window) {
  return Kernels(source, TensorPart{.source = std::string(source), .source_rows = out_channels},
                 {out_channels, window.channels, window.kernel_height, window.kernel_width},
                 out_channels, window.channels * window.kernel_height * window.kernel_width);
}

TensorId GraphBuilder::Kernels(std::string_view name, TensorPart part,
                               const std::vector<int64_t>& source_shape, int64_t out_channels,
                               int64_t patch_width) {
  CheckShape(part.source, source_shape);
  Constant constant;
  constant.name = name;
  constant.shape = {out_channels, patch_width};
  constant.part = std::move(part);
  constant.is_weight_matrix = true;
  return AddConstant(std::move(constant));
}

TensorId GraphBuilder::Stored(std::string_view source, const std::vector<int64_t>& shape) {
  CheckShape(source, shape);
  Constant constant;
  constant.name = constant.part.source = source;
  constant.part.source_rows = shape[0];
  constant.shape = shape;
  return AddConstant(std::move(constant));
}

TensorId GraphBuilder::Vector(std::string_view source, int64_t elements) {
  return Vector(source, TensorPart{.source = std::string(source), .source_rows = elements},
                elements);
}

TensorId GraphBuilder::Vector(std::string_view name, TensorPart part, int64_t elements) {
  return AddPart(name, std::move(part), {elements}, /*is_weight_matrix=*/false);
}

TensorId GraphBuilder::FloatMatrix(std::string_view name, TensorPart part, int64_t rows,
                                   int64_t width) {
  return AddPart(name, std::move(part), {rows, width}, /*is_weight_matrix=*/false);
}

TensorId GraphBuilder::AddPart(std::string_view name, TensorPart part, std::vector<int64_t> shape,
                               bool is_weight_matrix) {
  std::vector<int64_t> source_shape = shape;
  source_shape[0] = part.source_rows;
  if (part.transposed) std::reverse(source_shape.begin(), source_shape.end());
  CheckShape(part.source, source_shape);
  Constant constant;
  constant.name = name;
  constant.shape = std::move(shape);
  constant.part = std::move(part);
  constant.is_weight_matrix = is_weight_matrix;
  return AddConstant(std::move(constant));
}

TensorId GraphBuilder::Literal(std::string_view name, std::vector<float> numbers) {
  Constant constant;
  constant.name = name;
  constant.shape = {static_cast<int64_t>(numbers.size())};
  constant.literal = std::move(numbers);
  return AddConstant(std::move(constant));
}

ValueId GraphBuilder::AddOp(std::string_view name, const std::vector<ValueId>& inputs,
                            ValueShape output, uint8_t attributes_type,
                            flatbuffers::Offset<void> attributes) {
  std::vector<int32_t> operands;
  operands.reserve(inputs.size());
  for (const ValueId input : inputs) operands.push_back(input.index);
  const ValueId result = AddValue(name, output, fb::ElementType::Float32);
  const auto op_name = header_.CreateString(name.data(), name.size());
  const auto op_inputs = header_.CreateVector(operands);
  const auto op_outputs = header_.CreateVector(&result.index, 1);
  ops_.push_back(fb::CreateOp(header_, op_name, op_inputs, op_outputs,
                              static_cast<fb::OpAttributes>(attributes_type), attributes));
  return result;
}

ValueId GraphBuilder::Embedding(std::string_view name, ValueId ids, TensorId table, float scale) {
  const ValueShape shape = {ShapeOf(ids).rows_symbol, constants_[table.index].shape[1],
                            ShapeOf(ids).rows};
  return AddOp(name, {ids}, shape, TypeOf<fb::Embedding>(),
               fb::CreateEmbedding(header_, table.index, scale).Union());
}

ValueId GraphBuilder::Linear(std::string_view name, ValueId x, TensorId weight, TensorId bias) {
  const std::vector<int64_t>& shape = constants_[weight.index].shape;
  if (shape[1] != ShapeOf(x).width) {
    Fail(Error(StatusCode::kMismatch,
               "%s: tensor '%s' takes %" PRId64 " features, what it is applied to has %" PRId64,
               source_name_.c_str(), constants_[weight.index].name.c_str(), shape[1],
               ShapeOf(x).width));
  }
  return AddOp(name, {x}, {ShapeOf(x).rows_symbol, shape[0], ShapeOf(x).rows}, TypeOf<fb::Linear>(),
               fb::CreateLinear(header_, weight.index, bias.index).Union());
}

ValueId GraphBuilder::RmsNorm(std::string_view name, ValueId x, TensorId weight, float epsilon) {
  return AddOp(name, {x}, ShapeOf(x), TypeOf<fb::RmsNorm>(),
               fb::CreateRmsNorm(header_, weight.index, epsilon).Union());
}

ValueId GraphBuilder::LayerNorm(std::string_view name, ValueId x, TensorId weight, TensorId bias,
                                float epsilon) {
  return AddOp(name, {x}, ShapeOf(x), TypeOf<fb::LayerNorm>(),
               fb::CreateLayerNorm(header_, weight.index, bias.index, epsilon).Union());
}

ValueId GraphBuilder::Rope(std::string_view name, ValueId x, ValueId positions,
                           const RopeShape& shape) {
  return AddOp(name, {x, positions}, ShapeOf(x), TypeOf<fb::Rope>(),
               fb::CreateRope(
                   header_, shape.inverse_frequencies.index, static_cast<uint32_t>(shape.head_dim),
                   static_cast<uint32_t>(shape.rotary_dim), shape.interleaved, shape.magnitude)
                   .Union());
}

ValueId GraphBuilder::CachedAttention(std::string_view name, ValueId query, ValueId key,
                                      ValueId value, ValueId positions,
                                      const AttentionShape& shape) {
  const auto cache = static_cast<int32_t>(kv_caches_.size());
  const auto heads = static_cast<uint32_t>(shape.heads);
  const auto kv_heads = static_cast<uint32_t>(shape.kv_heads);
  const auto head_dim = static_cast<uint32_t>(shape.head_dim);
  kv_caches_.push_back(fb::CreateKvCache(header_, header_.CreateString(name.data(), name.size()),
                                         kv_heads, head_dim));
  return AddOp(name, {query, key, value, positions}, ShapeOf(query), TypeOf<fb::Attention>(),
               fb::CreateAttention(header_, heads, kv_heads, head_dim, shape.scale, shape.soft_cap,
                                   static_cast<uint32_t>(shape.window), cache, /*causal=*/true)
                   .Union());
}

ValueId GraphBuilder::Attention(std::string_view name, ValueId query, ValueId key, ValueId value,
                                ValueId text_ends, const AttentionShape& shape) {
  std::vector<ValueId> inputs = {query, key, value};
  if (text_ends.index >= 0) inputs.push_back(text_ends);
  return AddOp(name, inputs, ShapeOf(query), TypeOf<fb::Attention>(),
               fb::CreateAttention(header_, static_cast<uint32_t>(shape.heads),
                                   static_cast<uint32_t>(shape.kv_heads),
                                   static_cast<uint32_t>(shape.head_dim), shape.scale,
                                   shape.soft_cap, /*window=*/0, /*kv_cache=*/-1, /*causal=*/false)
                   .Union());
}

ValueId GraphBuilder::Add(std::string_view name, ValueId a, ValueId b) {
  return AddOp(name, {a, b}, ShapeOf(a), TypeOf<fb::Add>(), fb::CreateAdd(header_).Union());
}

ValueId GraphBuilder::Multiply(std::string_view name, ValueId a, ValueId b) {
  return AddOp(name, {a, b}, ShapeOf(a), TypeOf<fb::Multiply>(),
               fb::CreateMultiply(header_).Union());
}

ValueId GraphBuilder::Activation(std::string_view name, ValueId x, fb::ActivationKind kind) {
  return AddOp(name, {x}, ShapeOf(x), TypeOf<fb::Activation>(),
               fb::CreateActivation(header_, kind).Union());
}

ValueId GraphBuilder::GatedActivation(std::string_view name, ValueId gate, ValueId up,
                                      fb::ActivationKind kind) {
  return AddOp(name, {gate, up}, ShapeOf(gate), TypeOf<fb::GatedActivation>(),
               fb::CreateGatedActivation(header_, kind).Union());
}

ValueId GraphBuilder::SelectRows(std::string_view name, ValueId x, ValueId rows) {
  return AddOp(name, {x, rows}, {ShapeOf(rows).rows_symbol, ShapeOf(x).width, ShapeOf(rows).rows},
               TypeOf<fb::SelectRows>(), fb::CreateSelectRows(header_).Union());
}

ValueId GraphBuilder::Scale(std::string_view name, ValueId x, float factor) {
  return AddOp(name, {x}, ShapeOf(x), TypeOf<fb::Scale>(),
               fb::CreateScale(header_, factor).Union());
}

ValueId GraphBuilder::PoolRows(std::string_view name, ValueId x, ValueId text_ends,
                               fb::PoolKind kind, int64_t index) {
  std::vector<ValueId> inputs = {x};
  ValueShape shape = {-1, ShapeOf(x).width, 1};
  if (text_ends.index >= 0) {
    inputs.push_back(text_ends);
    shape = {ShapeOf(text_ends).rows_symbol, ShapeOf(x).width};
  }
  return AddOp(name, inputs, shape, TypeOf<fb::PoolRows>(),
               fb::CreatePoolRows(header_, kind, static_cast<int32_t>(index)).Union());
}

ValueId GraphBuilder::ConstantRows(std::string_view name, TensorId tensor, int64_t rows,
                                   int64_t width) {
  return AddOp(name, {}, {-1, width, rows}, TypeOf<fb::Constant>(),
               fb::CreateConstant(header_, tensor.index).Union());
}

ValueId GraphBuilder::ConcatenateRows(std::string_view name, const std::vector<ValueId>& parts) {
  ValueShape shape = {-1, ShapeOf(parts[0]).width, 0};
  for (const ValueId part : parts) shape.rows += ShapeOf(part).rows;
  return AddOp(name, parts, shape, TypeOf<fb::ConcatenateRows>(),
               fb::CreateConcatenateRows(header_).Union());
}

ValueId GraphBuilder::Patches(std::string_view name, ValueId image, const WindowShape& window) {
  const ValueShape shape = {-1, window.channels * window.kernel_height * window.kernel_width,
                            window.out_height() * window.out_width()};
  const fb::ImageWindow stored = StoredWindow(window);
  return AddOp(name, {image}, shape, TypeOf<fb::Patches>(),
               fb::CreatePatches(header_, &stored).Union());
}

ValueId GraphBuilder::PoolPixels(std::string_view name, ValueId pixels, const WindowShape& window,
                                 fb::PoolKind kind) {
  const ValueShape shape = {-1, window.channels, window.out_height() * window.out_width()};
  const fb::ImageWindow stored = StoredWindow(window);
  return AddOp(name, {pixels}, shape, TypeOf<fb::PoolPixels>(),
               fb::CreatePoolPixels(header_, &stored, kind).Union());
}

void GraphBuilder::Output(ValueId value) { outputs_.push_back(value.index); }

Result<flatbuffers::Offset<fb::Graph>> GraphBuilder::Finish() {
  GRAFT_RETURN_IF_ERROR(status_);
  const auto symbols = header_.CreateVectorOfStrings(symbols_);
  const auto values = header_.CreateVector(values_);
  const auto inputs = header_.CreateVector(inputs_);
  const auto outputs = header_.CreateVector(outputs_);
  const auto kv_caches = header_.CreateVector(kv_caches_);
  const auto ops = header_.CreateVector(ops_);
  return fb::CreateGraph(header_, symbols, values, inputs, outputs, kv_caches, ops);
}

}  // namespace graft::converter
