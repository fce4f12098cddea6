// SPDX-License-Identifier: Apache-2.0
// GraphBuilder: writes a model down as ops over values. An op of the file format is one function
// below.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/lower/constant_table.h"
#include "converter/lower/shapes.h"
#include "converter/tensors/tensor_source.h"
#include "schema/generated/model_generated.h"
#include "schema/result.h"

namespace graft::converter {

/// Every activation is [rows, width]; rows is one of the symbols below. A tensor that does not fit
/// where it is used is a fault, as those of ConstantTable are: the first one is kept, and Finish
/// returns it.
class GraphBuilder : public ConstantTable {
 public:
  /// `source` and `header` must outlive the builder. `source_name` is what messages call the
  /// source.
  GraphBuilder(const TensorSource& source, std::string source_name,
               flatbuffers::FlatBufferBuilder& header)
      : ConstantTable(source, std::move(source_name)), header_(header) {}

  // Graph inputs.
  ValueId TokenIds(std::string_view name = "input_ids");  ///< i32 ["sequence"]
  ValueId Positions();                                    ///< i32 ["sequence"]
  ValueId OutputRows();       ///< i32 ["output_rows"]: the rows whose logits to keep.
  ValueId TokenTypes();       ///< i32 ["sequence"]
  ValueId TextEnds();         ///< i32 ["texts"]: ragged offsets, the end of each text's rows.
  ValueId SourceIds();        ///< i32 ["source"]: what an encoder-decoder's encoder takes.
  ValueId SourcePositions();  ///< i32 ["source"]
  /// f32 [channels, 1, frames], in their place.
  ValueId SourceFeatures(std::string_view name, int64_t channels, int64_t frames);
  ValueId ImagePatches(std::string_view name, int64_t width);  ///< f32 ["patches", width]
  ValueId ImagePositions();                                    ///< i32 ["patches"]
  /// What TextEnds gave; none if it was not called.
  ValueId text_ends() const { return text_ends_; }
  /// What Positions gave, likewise.
  ValueId positions() const { return positions_; }
  /// f32 ["sequence", width]
  ValueId TensorInput(std::string_view name, int64_t width);
  /// f32 [channels, height, width]
  ValueId ImageInput(std::string_view name, int64_t channels, int64_t height, int64_t width);

  // Ops. `name` becomes the name of the op and of the value it computes.

  /// Rows of `table` by token ids or positions.
  ValueId Embedding(std::string_view name, ValueId ids, TensorId table, float scale = 1.0f) {
    const ValueShape shape = RowsLike(ids, constant(table).shape[1]);
    MarkVocabulary(table);
    return Op(name, {ids}, shape, schema::fb::CreateEmbedding(header_, table.index, scale));
  }
  ValueId Linear(std::string_view name, ValueId x, TensorId weight, TensorId bias = {}) {
    const ValueShape shape = RowsLike(x, constant(weight).shape[0]);
    CheckTakes(weight, x);
    return Op(name, {x}, shape, schema::fb::CreateLinear(header_, weight.index, bias.index));
  }
  /// `runs`: as many runs, each with weights of its own; 0: runs as long as the weight.
  ValueId RmsNorm(std::string_view name, ValueId x, TensorId weight, float epsilon,
                  int64_t runs = 0) {
    return Op(name, {x}, ShapeOf(x),
              schema::fb::CreateRmsNorm(header_, weight.index, epsilon, U32(runs)));
  }
  /// `group`: elements that are normalized by themselves; 0: the whole row.
  ValueId LayerNorm(std::string_view name, ValueId x, TensorId weight, TensorId bias, float epsilon,
                    int64_t group = 0) {
    return Op(name, {x}, ShapeOf(x),
              schema::fb::CreateLayerNorm(header_, weight.index, bias.index, epsilon, U32(group)));
  }
  ValueId Rope(std::string_view name, ValueId x, ValueId positions, const RopeShape& shape) {
    const auto axes = shape.axes.empty() ? flatbuffers::Offset<flatbuffers::Vector<uint8_t>>()
                                         : header_.CreateVector(shape.axes);
    return Op(name, {x, positions}, ShapeOf(x),
              schema::fb::CreateRope(header_, shape.inverse_frequencies.index, U32(shape.head_dim),
                                     U32(shape.rotary_dim), shape.interleaved, shape.magnitude,
                                     U32(shape.positions), shape.growth,
                                     U32(shape.growth_positions), shape.table.index, axes));
  }
  /// Causal attention over a KV cache of its own.
  ValueId CachedAttention(std::string_view name, ValueId query, ValueId key, ValueId value,
                          ValueId positions, const AttentionShape& shape) {
    const int32_t cache = AddKvCache(name, shape);
    return Op(name, {query, key, value, positions}, ShapeOf(query),
              AttentionOf(shape, cache, /*causal=*/true));
  }
  /// Attention of every row to every row, or to those of its own text if `text_ends` is given; to
  /// none after its own if `causal`. Keeps nothing.
  ValueId Attention(std::string_view name, ValueId query, ValueId key, ValueId value,
                    ValueId text_ends, const AttentionShape& shape, bool causal = false) {
    return Op(name, {query, key, value, text_ends}, ShapeOf(query),
              AttentionOf(shape, /*kv_cache=*/-1, causal));
  }
  /// Causal attention over a KV cache that an attention before this one stores into.
  ValueId StoredAttention(std::string_view name, ValueId query, ValueId positions,
                          const AttentionShape& shape, int32_t cache) {
    return Op(name, {query, positions}, ShapeOf(query), AttentionOf(shape, cache, /*causal=*/true));
  }
  /// The cache of the last CachedAttention.
  int32_t last_cache() const { return static_cast<int32_t>(kv_caches_.size()) - 1; }
  /// Attention of every row to all of the source's, whose keys and values are kept.
  ValueId CrossAttention(std::string_view name, ValueId query, ValueId key, ValueId value,
                         const AttentionShape& shape) {
    const int32_t cache = AddKvCache(name, shape, /*of_source=*/true);
    return Op(name, {query, key, value}, ShapeOf(query),
              AttentionOf(shape, cache, /*causal=*/false));
  }
  ValueId Add(std::string_view name, ValueId a, ValueId b) {
    return Op(name, {a, b}, ShapeOf(a), schema::fb::CreateAdd(header_));
  }
  ValueId Multiply(std::string_view name, ValueId a, ValueId b) {
    return Op(name, {a, b}, ShapeOf(a), schema::fb::CreateMultiply(header_));
  }
  ValueId Activation(std::string_view name, ValueId x, schema::fb::ActivationKind kind) {
    return Op(name, {x}, ShapeOf(x), schema::fb::CreateActivation(header_, kind));
  }
  ValueId GatedActivation(std::string_view name, ValueId gate, ValueId up,
                          schema::fb::ActivationKind kind) {
    return Op(name, {gate, up}, ShapeOf(gate), schema::fb::CreateGatedActivation(header_, kind));
  }
  /// Positions of output rows, for Rope and StoredAttention.
  ValueId SelectPositions(ValueId positions, ValueId rows) {
    return Op("selected_positions", {positions, rows}, ShapeOf(rows),
              schema::fb::CreateSelectRows(header_));
  }
  ValueId SelectRows(std::string_view name, ValueId x, ValueId rows) {
    return Op(name, {x, rows}, RowsLike(rows, Width(x)), schema::fb::CreateSelectRows(header_));
  }
  /// x * factor.
  ValueId Scale(std::string_view name, ValueId x, float factor) {
    return Op(name, {x}, ShapeOf(x), schema::fb::CreateScale(header_, factor));
  }
  /// The nearest number of [low, high].
  ValueId Clamp(std::string_view name, ValueId x, float low, float high) {
    return Op(name, {x}, ShapeOf(x), schema::fb::CreateClamp(header_, low, high));
  }
  ValueId Xielu(std::string_view name, ValueId x, const XieluNumbers& numbers) {
    const auto stored = schema::fb::CreateXielu(
        header_, static_cast<float>(numbers.alpha_p), static_cast<float>(numbers.alpha_n),
        static_cast<float>(numbers.beta), static_cast<float>(numbers.epsilon));
    return Op(name, {x}, ShapeOf(x), stored);
  }
  /// Columns [begin, begin + width) of each row.
  ValueId SelectColumns(std::string_view name, ValueId x, int64_t begin, int64_t width) {
    return Op(name, {x}, RowsLike(x, width), schema::fb::CreateSelectColumns(header_, U32(begin)));
  }
  /// The sum of `parts`, part i times column begin + i of `weights`.
  ValueId WeightedSum(std::string_view name, const std::vector<ValueId>& parts, ValueId weights,
                      int64_t begin) {
    std::vector<ValueId> inputs = {parts[0], weights};
    inputs.insert(inputs.end(), parts.begin() + 1, parts.end());
    return Op(name, inputs, ShapeOf(parts[0]), schema::fb::CreateWeightedSum(header_, U32(begin)));
  }
  /// What of each row lies above its mean + deviations * its standard deviation.
  ValueId GaussianTopK(std::string_view name, ValueId x, float deviations) {
    return Op(name, {x}, ShapeOf(x), schema::fb::CreateGaussianTopK(header_, deviations));
  }
  /// x with the root mean square of `reference`; its own counts as at least the root of `floor`.
  ValueId MatchRms(std::string_view name, ValueId x, ValueId reference, float floor) {
    return Op(name, {x, reference}, ShapeOf(x), schema::fb::CreateMatchRms(header_, floor));
  }
  /// Chooses experts by their scores.
  Routed Route(std::string_view name, ValueId scores, const RoutingShape& shape);
  /// For each choice the product with its expert's rows of `weight`, one after the other. x has a
  /// row for all choices, or for each.
  ValueId ExpertLinear(std::string_view name, ValueId x, ValueId choices, int64_t experts,
                       TensorId weight, TensorId bias = {});
  /// The sum of as many parts of each row of x as there are weights, each times its weight.
  ValueId WeightedSum(std::string_view name, ValueId x, ValueId weights) {
    return Op(name, {x, weights}, RowsLike(x, Width(x) / Width(weights)),
              schema::fb::CreateWeightedSum(header_));
  }
  /// One row for each text, or a single one if `text_ends` is none. index: of kind Row.
  ValueId PoolRows(std::string_view name, ValueId x, ValueId text_ends, schema::fb::PoolKind kind,
                   int64_t index = 0) {
    const bool one_text = text_ends.index < 0;
    return Op(name, {x, text_ends},
              one_text ? FixedRows(1, Width(x)) : RowsLike(text_ends, Width(x)),
              schema::fb::CreatePoolRows(header_, kind, static_cast<int32_t>(index)));
  }
  /// Each row with its neighbours in its text, element by element.
  ValueId RowWindows(std::string_view name, ValueId x, ValueId text_ends, int64_t before,
                     int64_t after) {
    return Op(name, {x, text_ends}, RowsLike(x, Width(x) * (before + 1 + after)),
              schema::fb::CreateRowWindows(header_, U32(before), U32(after)));
  }
  /// A tensor's numbers as [rows, width].
  ValueId ConstantRows(std::string_view name, TensorId tensor, int64_t rows, int64_t width) {
    return Op(name, {}, FixedRows(rows, width), schema::fb::CreateConstant(header_, tensor.index));
  }
  ValueId ConcatenateRows(std::string_view name, const std::vector<ValueId>& parts) {
    int64_t rows = 0;
    for (const ValueId part : parts) rows += ShapeOf(part).rows;
    return Op(name, parts, FixedRows(rows, Width(parts[0])),
              schema::fb::CreateConcatenateRows(header_));
  }
  /// [windows, channels * kernel] of an image: an ImageInput, or rows of pixels. Also called
  /// im2col.
  ValueId Patches(std::string_view name, ValueId image, const WindowShape& window) {
    const schema::fb::ImageWindow stored = StoredWindow(window);
    return Op(name, {image}, FixedRows(window.places(), window.elements()),
              schema::fb::CreatePatches(header_, &stored));
  }
  ValueId PoolPixels(std::string_view name, ValueId pixels, const WindowShape& window,
                     schema::fb::PoolKind kind) {
    const schema::fb::ImageWindow stored = StoredWindow(window);
    return Op(name, {pixels}, FixedRows(window.places(), window.channels),
              schema::fb::CreatePoolPixels(header_, &stored, kind));
  }

  /// weight [out_channels, channels / groups * kernel], over an image's pixels as rows.
  ValueId Convolution(std::string_view name, ValueId pixels, TensorId weight, TensorId bias,
                      const ConvolutionShape& shape) {
    const schema::fb::ImageWindow stored = StoredWindow(shape.window);
    return Op(
        name, {pixels},
        FixedRows(shape.out_height() * shape.out_width(), constant(weight).shape[0]),
        schema::fb::CreateConvolution(header_, &stored, weight.index, bias.index, U32(shape.groups),
                                      U32(shape.extra_height), U32(shape.extra_width)));
  }
  /// Rows of x by their numbers, or zeros for -1.
  ValueId TakeRows(std::string_view name, ValueId x, const std::vector<int32_t>& rows) {
    const auto stored = header_.CreateVector(rows);
    return Op(name, {x}, FixedRows(static_cast<int64_t>(rows.size()), Width(x)),
              schema::fb::CreateTakeRows(header_, stored));
  }
  /// `count` rows of patches as one, beside each other or, if `mean`, as their mean.
  ValueId MergePatches(std::string_view name, ValueId x, int64_t count, bool mean = false);
  /// table: f32 [side * side, width].
  /// corners: as schema/model.fbs has it.
  ValueId GridPositions(std::string_view name, ValueId places, TensorId table, int64_t side,
                        bool corners = false) {
    return Op(name, {places}, RowsLike(places, constant(table).shape[1]),
              schema::fb::CreateGridPositions(header_, table.index, U32(side), corners));
  }
  /// x, with rows of images in the place of those of tokens that stand for them.
  ValueId PlaceImages(std::string_view name, ValueId x, ValueId images) {
    return Op(name, {x, images}, ShapeOf(x), schema::fb::CreatePlaceImages(header_));
  }
  /// angles: f32 [rows, head_dim / 2].
  ValueId Rotate(std::string_view name, ValueId x, TensorId angles, int64_t head_dim) {
    return Op(name, {x}, ShapeOf(x),
              schema::fb::CreateRotate(header_, angles.index, U32(head_dim)));
  }
  /// An image's pixels at another size, bilinear.
  ValueId ResizePixels(std::string_view name, ValueId pixels, const ImageSize& from,
                       const ImageSize& to) {
    return Op(name, {pixels}, FixedRows(to.height * to.width, Width(pixels)),
              schema::fb::CreateResizePixels(header_, U32(from.height), U32(from.width),
                                             U32(to.height), U32(to.width)));
  }
  /// [channels, height, width] of an image's pixels.
  ValueId Planes(std::string_view name, ValueId pixels, const ImageSize& size);

  /// Elements of a row of `value`.
  int64_t Width(ValueId value) const { return ShapeOf(value).width; }

  // Each keeps a state of its own or, in a graph of several texts, begins anew with each text.

  /// weight: ColumnKernels.
  ValueId ShortConvolution(std::string_view name, ValueId x, TensorId weight, TensorId bias,
                           bool gated = false);
  ValueId GatedDeltaRule(std::string_view name, ValueId qkv, ValueId a, ValueId b,
                         const DeltaRuleShape& shape);
  /// bc: none if x has it beside it.
  ValueId SelectiveScan(std::string_view name, ValueId x, ValueId bc, ValueId steps,
                        const ScanShape& shape);
  ValueId GatedRecurrence(std::string_view name, ValueId x, const RecurrenceShape& shape);

  void Output(ValueId value) { outputs_.push_back(value.index); }

  /// Writes the graph into `header`. Constants are whole once it has succeeded.
  /// Errors   the first fault met while building.
  Result<flatbuffers::Offset<schema::fb::Graph>> Finish();

  size_t op_count() const { return ops_.size(); }

 private:
  struct ValueShape {
    int32_t rows_symbol = -1;
    int64_t width = 0;  // 0: one-dimensional, as ids and positions are
    int64_t rows = 0;   // if there is no symbol
  };

  const ValueShape& ShapeOf(ValueId value) const {
    return value_shapes_[static_cast<size_t>(value.index)];
  }
  /// As many rows as `value` has, `width` wide.
  ValueShape RowsLike(ValueId value, int64_t width) const {
    return {ShapeOf(value).rows_symbol, width, ShapeOf(value).rows};
  }
  static ValueShape FixedRows(int64_t rows, int64_t width) { return {-1, width, rows}; }
  static uint32_t U32(int64_t number) { return static_cast<uint32_t>(number); }

  /// Records an op of the type that `attributes` are, whose only output is a new value. Inputs that
  /// are none are left out.
  template <typename Attributes>
  ValueId Op(std::string_view name, const std::vector<ValueId>& inputs, const ValueShape& output,
             flatbuffers::Offset<Attributes> attributes) {
    return AddOp(name, inputs, output, schema::fb::OpAttributesTraits<Attributes>::enum_value,
                 attributes.Union());
  }
  ValueId AddOp(std::string_view name, const std::vector<ValueId>& inputs, const ValueShape& output,
                schema::fb::OpAttributes type, flatbuffers::Offset<void> attributes);
  void AddOp(std::string_view name, const std::vector<ValueId>& inputs,
             const std::vector<ValueId>& outputs, schema::fb::OpAttributes type,
             flatbuffers::Offset<void> attributes);
  /// A value of [rows, width], or of [rows] without a width.
  ValueId AddRows(std::string_view name, const ValueShape& shape, schema::fb::ElementType type) {
    std::vector<schema::fb::Dimension> dimensions = {{shape.rows, shape.rows_symbol}};
    if (shape.width > 0) dimensions.emplace_back(shape.width, -1);
    return AddValue(name, shape, dimensions, type);
  }

  int32_t Symbol(std::string_view name);
  ValueId AddValue(std::string_view name, const ValueShape& shape,
                   const std::vector<schema::fb::Dimension>& dimensions,
                   schema::fb::ElementType type);
  ValueId AddInput(ValueId value, schema::fb::InputRole role);
  /// An input of indices: i32 [symbol].
  ValueId IndexInput(std::string_view name, std::string_view symbol, schema::fb::InputRole role);
  /// A state of [rows, width]; -1 in a graph of several texts.
  int32_t AddState(std::string_view name, int64_t rows, int64_t width);
  int32_t AddKvCache(std::string_view name, const AttentionShape& shape, bool of_source = false);
  flatbuffers::Offset<schema::fb::Attention> AttentionOf(const AttentionShape& shape,
                                                         int32_t kv_cache, bool causal);
  /// A matrix takes as many features as what it is applied to has.
  void CheckTakes(TensorId weight, ValueId x);

  flatbuffers::FlatBufferBuilder& header_;
  std::vector<std::string> symbols_;
  std::vector<flatbuffers::Offset<schema::fb::Value>> values_;
  std::vector<ValueShape> value_shapes_;
  std::vector<flatbuffers::Offset<schema::fb::GraphInput>> inputs_;
  std::vector<int32_t> outputs_;
  ValueId text_ends_;
  ValueId positions_;
  std::vector<flatbuffers::Offset<schema::fb::KvCache>> kv_caches_;
  std::vector<flatbuffers::Offset<schema::fb::Op>> ops_;
  std::vector<flatbuffers::Offset<schema::fb::State>> states_;
};

}  // namespace graft::converter
