// SPDX-License-Identifier: Apache-2.0
// OpChecker: one op of a graph, with what is known of the graph's values before it, for the rule
// that its kind is held to.
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
struct Graph;
struct KvCache;
struct Op;
struct State;
struct Tensor;
enum class InputRole : uint8_t;
}  // namespace fb

// Bounds that every real model keeps by far, so that products of a few of them cannot overflow 64
// bits.
inline constexpr int64_t kMaxDimension = std::numeric_limits<int32_t>::max();
inline constexpr uint32_t kMaxHeads = 1 << 16;
inline constexpr uint32_t kMaxHeadDim = 1 << 14;
inline constexpr uint64_t kMaxSourceRows = 1 << 20;
inline constexpr uint32_t kMaxExperts = 1 << 12;

/// What gives a value its numbers.
enum class Origin : uint8_t {
  kUndefined,
  kTensorInput,
  kTokenIds,
  kPositions,
  kOutputRows,
  kTokenTypes,
  kTextEnds,
  kSourceIds,
  kSourcePositions,
  kSourceFeatures,
  kImagePatches,
  kImagePositions,
  kComputed,
  kSelectedPositions  // of output rows
};

class OpChecker {
 public:
  /// The current op.
  const fb::Op& op() const { return *op_; }
  uint32_t input_count() const;

  /// What rules learn of the whole graph.
  GraphFacts& facts() { return facts_; }
  /// Experts that a value's choices are among; 0: it holds none.
  uint32_t& ExpertsOf(int32_t value);
  Result<const fb::KvCache*> CacheAt(int32_t index) const;
  /// Says that the op uses a cache, and is the only one to.
  /// Requires CacheAt(index) is ok.
  Status UseCache(int32_t index);
  /// Says that the op reads what an op before it has stored in a cache.
  /// Requires CacheAt(index) is ok.
  Status ReadCache(int32_t index) const;
  /// The same of states.
  Result<const fb::State*> StateAt(int32_t index) const;
  Status UseState(int32_t index);

  /// An error that names the op: "op 12 (model.layers.0.mlp.up_proj, Linear) <message>".
  [[gnu::format(printf, 2, 3)]] Status OpError(const char* format, ...) const;
  /// "op 12 <what> <kind>, which this build does not know".
  Status Unknown(const char* what, unsigned kind) const;

  Status ExpectOperands(uint32_t inputs, uint32_t outputs) const;
  const fb::Value& Input(uint32_t i) const;
  const fb::Value& Output(uint32_t i) const;
  Origin InputOrigin(uint32_t i) const;
  /// The fact that bounds the numbers of an input of indices; null: it is none that the runtime
  /// fills.
  uint64_t* BoundOf(uint32_t input);
  Status ExpectSameShape(const fb::Value& a, const fb::Value& b) const;
  /// f32 [rows, width] with width fixed; *width receives it.
  Status ExpectMatrix(const fb::Value& value, int64_t* width) const;
  Status ExpectWidth(const fb::Value& value, int64_t width) const;
  /// f32 [rows, width], both fixed.
  Status ExpectFixedMatrix(const fb::Value& value, int64_t* rows, int64_t* width) const;
  Status ExpectFixedShape(const fb::Value& value, int64_t rows, int64_t width) const;
  /// i32 [rows, choices] with choices fixed; *choices receives them.
  Status ExpectChoices(const fb::Value& value, int64_t* choices) const;
  Status ExpectSameRows(const fb::Value& a, const fb::Value& b) const;
  /// The op's first operand has one row for each token.
  Status ExpectTokenRows() const;
  Status ExpectOrigin(uint32_t input, Origin origin, const char* role) const;
  /// The operand is positions: the graph input, or those of output rows.
  Status ExpectPositions(uint32_t input) const;
  /// The operand has one row for each patch of an image.
  Status ExpectPatchRows(const fb::Value& value) const;
  /// The rows of a value are those of the graph input of `role`.
  bool HasRowsOf(const fb::Value& value, fb::InputRole role) const;
  Result<const fb::Tensor*> TensorAt(int32_t index, const char* what) const;
  /// An f32 tensor of one dimension; elements 0: any number.
  Status ExpectVector(int32_t index, int64_t elements, const char* what,
                      int64_t* actual = nullptr) const;
  Result<const fb::Tensor*> MatrixAt(int32_t index, const char* what) const;
  Status ExpectPositive(float value, const char* what) const;

 protected:
  /// The FlatBuffer and the tensors of the model are already valid; it outlives this object.
  explicit OpChecker(const fb::Model& model);

  const fb::Value* RoleInput(fb::InputRole role) const { return roles_[static_cast<size_t>(role)]; }
  static bool SameRows(const fb::Value& a, const fb::Value& b);

  // From kTensorInput on there is one origin for each fb::InputRole.
  static constexpr size_t kRoles =
      static_cast<size_t>(Origin::kComputed) - static_cast<size_t>(Origin::kTensorInput);

  // The pass over the graph fills these in.
  const fb::Model& model_;
  const fb::Graph& graph_;
  const fb::Op* op_ = nullptr;
  uint32_t op_index_ = 0;
  std::vector<Origin> origins_;
  std::vector<bool> cache_used_;
  std::vector<bool> state_used_;
  std::vector<uint32_t> experts_of_;     // one for each value, once there are any
  const fb::Value* roles_[kRoles] = {};  // the graph input of each fb::InputRole but Tensor
  GraphFacts facts_;
};

/// Holds the op to the rule of its kind.
/// Requires operands in range, and attributes of a known kind.
/// Errors   kCorrupt, kUnsupported; each names the op.
Status CheckKind(OpChecker& op);
/// The same for the kinds that may keep a state.
Status CheckStateKind(OpChecker& op);
/// The same for the kinds of a mixture of experts: Route and ExpertLinear.
Status CheckExperts(OpChecker& op);
/// The same of what images become: MergePatches and PlaceImages.
Status CheckPictureKind(OpChecker& op);

}  // namespace graft::schema
