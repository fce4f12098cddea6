// SPDX-License-Identifier: Apache-2.0
// One pass over a graph: what is known of its values so far, and the rules each op is held to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "schema/result.h"
#include "schema/status.h"
#include "schema/verify_graph.h"

namespace graft::schema {

namespace fb {
struct Attention;
struct Constant;
struct Embedding;
struct Graph;
struct ImageWindow;
struct LayerNorm;
struct Linear;
struct Op;
struct PoolPixels;
struct PoolRows;
struct RmsNorm;
struct Rope;
struct Scale;
struct Tensor;
enum class ActivationKind : uint8_t;
enum class InputRole : uint8_t;
}  // namespace fb

// Bounds that every real model keeps by far, so that products of a few of them cannot overflow 64
// bits.
inline constexpr int64_t kMaxDimension = std::numeric_limits<int32_t>::max();
inline constexpr uint32_t kMaxHeads = 1 << 16;
inline constexpr uint32_t kMaxHeadDim = 1 << 14;

/// CheckGraph's way through one graph: the ops in the order they run, while each value gets an
/// origin as it comes to be defined. What holds of the graph as a whole is in verify_graph.cc, what
/// holds of each kind of op in verify_ops.cc, and what these say of operands and tensors in
/// graph_operands.cc.
class GraphChecker {
 public:
  /// The FlatBuffer and the tensors of the model are already valid; it outlives this object.
  explicit GraphChecker(const fb::Model& model);

  /// To be called once. Errors are CheckGraph's.
  Result<GraphFacts> Check();

 private:
  enum class Origin : uint8_t {
    kUndefined,
    kTensorInput,
    kTokenIds,
    kPositions,
    kOutputRows,
    kTokenTypes,
    kTextEnds,
    kComputed
  };
  // From kTensorInput on there is one origin for each fb::InputRole.
  static constexpr size_t kRoles =
      static_cast<size_t>(Origin::kComputed) - static_cast<size_t>(Origin::kTensorInput);

  // ---- the graph ----

  Status CheckValues();
  Status CheckCaches();
  Status CheckInputs();
  Status CheckOutputs() const;
  const fb::Value* RoleInput(fb::InputRole role) const { return roles_[static_cast<size_t>(role)]; }
  static bool SameRows(const fb::Value& a, const fb::Value& b);

  // ---- the current op ----

  Status CheckOp();
  Status CheckKind();
  Status CheckEmbedding(const fb::Embedding& embedding);
  Status CheckLinear(const fb::Linear& linear);
  Status CheckRmsNorm(const fb::RmsNorm& norm);
  Status CheckLayerNorm(const fb::LayerNorm& norm);
  Status CheckRope(const fb::Rope& rope);
  // Which rows a row attends to: by positions, by texts, or all.
  Status CheckAttentionRows(const fb::Attention& attention) const;
  Status CheckAttention(const fb::Attention& attention);
  Status CheckElementwise(uint32_t inputs, fb::ActivationKind kind);
  Status CheckSelectRows();
  Status CheckScale(const fb::Scale& scale);
  Status CheckPoolRows(const fb::PoolRows& pool) const;
  Status CheckConstant(const fb::Constant& constant) const;
  Status CheckConcatenateRows() const;
  Status CheckPatches(const fb::ImageWindow& window) const;
  Status CheckPoolPixels(const fb::PoolPixels& pool) const;

  // ---- operands of the current op ----

  // "op 12 (model.layers.0.mlp.up_proj, Linear) <message>"
  [[gnu::format(printf, 2, 3)]] Status OpError(const char* format, ...) const;
  Status ExpectOperands(uint32_t inputs, uint32_t outputs) const;
  const fb::Value& Input(uint32_t i) const;
  const fb::Value& Output(uint32_t i) const;
  Origin InputOrigin(uint32_t i) const;
  Status ExpectSameShape(const fb::Value& a, const fb::Value& b) const;
  // f32 [rows, width] with width fixed; *width receives it.
  Status ExpectMatrix(const fb::Value& value, int64_t* width) const;
  Status ExpectWidth(const fb::Value& value, int64_t width) const;
  // f32 [rows, width], both fixed.
  Status ExpectFixedMatrix(const fb::Value& value, int64_t* rows, int64_t* width) const;
  Status ExpectFixedShape(const fb::Value& value, int64_t rows, int64_t width) const;
  Status ExpectSameRows(const fb::Value& a, const fb::Value& b) const;
  // The op's first operand has one row for each token.
  Status ExpectTokenRows() const;
  Status ExpectOrigin(uint32_t input, Origin origin, const char* role) const;
  Result<const fb::Tensor*> TensorAt(int32_t index, const char* what) const;
  // An f32 tensor of one dimension; elements 0: any number.
  Status ExpectVector(int32_t index, int64_t elements, const char* what,
                      int64_t* actual = nullptr) const;
  Result<const fb::Tensor*> MatrixAt(int32_t index, const char* what) const;
  Status ExpectPositive(float value, const char* what) const;

  const fb::Model& model_;
  const fb::Graph& graph_;
  const fb::Op* op_ = nullptr;
  uint32_t op_index_ = 0;
  std::vector<Origin> origins_;
  std::vector<bool> cache_used_;
  const fb::Value* roles_[kRoles] = {};  // the graph input of each fb::InputRole but Tensor
  GraphFacts facts_;
};

}  // namespace graft::schema
