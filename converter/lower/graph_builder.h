// SPDX-License-Identifier: Apache-2.0
// GraphBuilder: writes a model down as ops over values, checking every tensor it mentions against
// the checkpoint.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "converter/lower/constant.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::schema::fb {
enum class ActivationKind : uint8_t;
enum class InputRole : uint8_t;
enum class ElementType : uint8_t;
enum class PoolKind : uint8_t;
struct Graph;
struct GraphInput;
struct ImageWindow;
struct KvCache;
struct Op;
struct Value;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Handles that GraphBuilder gives out. Default-made ones mean "none".
struct ValueId {
  int32_t index = -1;
};
struct TensorId {
  int32_t index = -1;
};

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0.0f;     ///< Usually 1 / sqrt(head_dim).
  int64_t window = 0;     ///< Positions a row looks back over, itself included; 0: all.
  float soft_cap = 0.0f;  ///< 0: none.
};

/// A window that moves over an image of height x width pixels with zeros around it.
struct WindowShape {
  int64_t channels = 0;
  int64_t height = 0, width = 0;
  int64_t kernel_height = 1, kernel_width = 1;
  int64_t stride_height = 1, stride_width = 1;
  int64_t pad_height = 0, pad_width = 0;
  int64_t dilation_height = 1, dilation_width = 1;

  /// Places of the window along the height and the width.
  /// Requires a window that fits.
  int64_t out_height() const {
    return (height + 2 * pad_height - dilation_height * (kernel_height - 1) - 1) / stride_height +
           1;
  }
  int64_t out_width() const {
    return (width + 2 * pad_width - dilation_width * (kernel_width - 1) - 1) / stride_width + 1;
  }
};

/// The same as the file has it.
/// Requires numbers below 2^32.
schema::fb::ImageWindow StoredWindow(const WindowShape& window);

struct RopeShape {
  TensorId inverse_frequencies;  ///< f32 [rotary_dim / 2].
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;
  float magnitude = 1.0f;
  bool interleaved = false;
};

/// Every activation is [rows, width]; rows is one of the symbols below. A missing tensor or a wrong
/// shape does not stop the description: the first such fault is kept and Finish returns it, so that
/// a lowering reads as the model does.
class GraphBuilder {
 public:
  /// `source` and `header` must outlive the builder. `source_name` is what messages call the
  /// source.
  GraphBuilder(const TensorSource& source, std::string source_name,
               flatbuffers::FlatBufferBuilder& header);

  // Graph inputs.
  ValueId TokenIds();                                         ///< i32 ["sequence"]
  ValueId Positions();                                        ///< i32 ["sequence"]
  ValueId OutputRows();                                       ///< i32 ["output_rows"]
  ValueId TensorInput(std::string_view name, int64_t width);  ///< f32 ["sequence", width]
  ValueId TokenTypes();                                       ///< i32 ["sequence"]
  ValueId TextEnds();                                         ///< i32 ["texts"]
  /// f32 [channels, height, width]
  ValueId ImageInput(std::string_view name, int64_t channels, int64_t height, int64_t width);

  // Tensors. Asking twice for the same one gives the same TensorId.
  bool Has(std::string_view source) const;
  /// Whether an adapter changes it; see TensorSource.
  bool IsAdapted(std::string_view source) const;
  /// Rows of a tensor; 0 if there is none.
  int64_t RowsOf(std::string_view source) const;
  /// A [out_features, in_features] matrix, stored in the format the user asked for.
  TensorId Matrix(std::string_view source, int64_t out_features, int64_t in_features);
  /// The same, called `name`, of a part of a tensor.
  TensorId Matrix(std::string_view name, TensorPart part, int64_t out_features,
                  int64_t in_features);
  /// Rows [row_begin, row_begin + rows) of a [all_rows, width] matrix, stored as f32 whatever the
  /// user asked for: what positions and token types look up is small and takes part in every row.
  TensorId Table(std::string_view source, int64_t all_rows, int64_t width, int64_t row_begin = 0);
  /// The kernels [out_channels, channels, height, width] of a convolution, as the matrix
  /// [out_channels, channels * height * width] that Patches are multiplied with.
  TensorId Kernels(std::string_view source, int64_t out_channels, const WindowShape& window);
  /// The same of a part; `source_shape` is that of the tensor it is taken from.
  TensorId Kernels(std::string_view name, TensorPart part, const std::vector<int64_t>& source_shape,
                   int64_t out_channels, int64_t patch_width);
  /// A tensor of any shape, stored as f32.
  TensorId Stored(std::string_view source, const std::vector<int64_t>& shape);
  /// A vector, stored as f32.
  TensorId Vector(std::string_view source, int64_t elements);
  TensorId Vector(std::string_view name, TensorPart part, int64_t elements);
  /// A matrix that stays f32, as small tables do.
  TensorId FloatMatrix(std::string_view name, TensorPart part, int64_t rows, int64_t width);
  /// Numbers that the lowering itself computed.
  TensorId Literal(std::string_view name, std::vector<float> numbers);

  // Ops. `name` becomes the name of the op and of the value it computes.
  /// Rows of `table` by token ids or positions.
  ValueId Embedding(std::string_view name, ValueId ids, TensorId table, float scale = 1.0f);
  ValueId Linear(std::string_view name, ValueId x, TensorId weight, TensorId bias = {});
  ValueId RmsNorm(std::string_view name, ValueId x, TensorId weight, float epsilon);
  ValueId LayerNorm(std::string_view name, ValueId x, TensorId weight, TensorId bias,
                    float epsilon);
  ValueId Rope(std::string_view name, ValueId x, ValueId positions, const RopeShape& shape);
  /// Causal attention over a KV cache of its own.
  ValueId CachedAttention(std::string_view name, ValueId query, ValueId key, ValueId value,
                          ValueId positions, const AttentionShape& shape);
  /// Attention of every row to every row, or to those of its own text if `text_ends` is given.
  /// Keeps nothing.
  ValueId Attention(std::string_view name, ValueId query, ValueId key, ValueId value,
                    ValueId text_ends, const AttentionShape& shape);
  ValueId Add(std::string_view name, ValueId a, ValueId b);
  ValueId Multiply(std::string_view name, ValueId a, ValueId b);
  ValueId Activation(std::string_view name, ValueId x, schema::fb::ActivationKind kind);
  ValueId GatedActivation(std::string_view name, ValueId gate, ValueId up,
                          schema::fb::ActivationKind kind);
  ValueId SelectRows(std::string_view name, ValueId x, ValueId rows);
  ValueId Scale(std::string_view name, ValueId x, float factor);

  /// Elements of a row of `value`.
  int64_t Width(ValueId value) const { return ShapeOf(value).width; }

  /// One row for each text, or a single one if `text_ends` is none. index: of kind Row.
  ValueId PoolRows(std::string_view name, ValueId x, ValueId text_ends, schema::fb::PoolKind kind,
                   int64_t index = 0);
  /// A tensor's numbers as [rows, width].
  ValueId ConstantRows(std::string_view name, TensorId tensor, int64_t rows, int64_t width);
  ValueId ConcatenateRows(std::string_view name, const std::vector<ValueId>& parts);
  /// [windows, channels * kernel] of an image: an ImageInput, or rows of pixels.
  ValueId Patches(std::string_view name, ValueId image, const WindowShape& window);
  ValueId PoolPixels(std::string_view name, ValueId pixels, const WindowShape& window,
                     schema::fb::PoolKind kind);

  void Output(ValueId value);

  /// Keeps `status` as the builder's fault, unless it has one or `status` is ok.
  void Fail(Status status);
  const Status& status() const { return status_; }

  /// Writes the graph into `header`.
  /// Errors   the first fault met while building.
  Result<flatbuffers::Offset<schema::fb::Graph>> Finish();

  /// What the ops' TensorIds index. Whole once Finish has succeeded.
  const std::vector<Constant>& constants() const { return constants_; }
  size_t op_count() const { return ops_.size(); }

 private:
  struct ValueShape {
    int32_t rows_symbol = -1;
    int64_t width = 0;  // 0: one-dimensional, as ids and positions are
    int64_t rows = 0;   // if there is no symbol
  };

  int32_t Symbol(std::string_view name);
  ValueId AddValue(std::string_view name, ValueShape shape, schema::fb::ElementType type);
  ValueId AddInput(std::string_view name, ValueShape shape, schema::fb::ElementType type,
                   schema::fb::InputRole role);
  TensorId AddPart(std::string_view name, TensorPart part, std::vector<int64_t> shape,
                   bool is_weight_matrix);
  TensorId AddConstant(Constant constant);
  const ValueShape& ShapeOf(ValueId value) const { return value_shapes_[value.index]; }
  /// Records an op of the given union type whose only output is a new value.
  ValueId AddOp(std::string_view name, const std::vector<ValueId>& inputs, ValueShape output,
                uint8_t attributes_type, flatbuffers::Offset<void> attributes);
  void CheckShape(std::string_view source, const std::vector<int64_t>& expected);

  const TensorSource& source_;
  const std::string source_name_;
  flatbuffers::FlatBufferBuilder& header_;
  Status status_;
  std::vector<std::string> symbols_;
  std::vector<flatbuffers::Offset<schema::fb::Value>> values_;
  std::vector<ValueShape> value_shapes_;
  std::vector<flatbuffers::Offset<schema::fb::GraphInput>> inputs_;
  std::vector<int32_t> outputs_;
  std::vector<flatbuffers::Offset<schema::fb::KvCache>> kv_caches_;
  std::vector<flatbuffers::Offset<schema::fb::Op>> ops_;
  std::vector<Constant> constants_;
  std::map<std::string, int32_t, std::less<>> constant_index_;
};

}  // namespace graft::converter
