// SPDX-License-Identifier: Apache-2.0
// Plan: what to compute, in which order. A verified graph with the steps it leaves unsaid:
// quantizing an activation once for all linears that read it, turning positions into angles once
// for all layers, storing keys and values.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/plan/step_kind.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/verify.h"

namespace graft::schema::fb {
struct Op;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Sizes of the graph's symbols.
using Binding = std::vector<int64_t>;

struct PlanDimension {
  int64_t size = 0;
  int32_t symbol = -1;  ///< the size is the symbol's, if not negative

  int64_t bound(const Binding& binding) const {
    return symbol >= 0 ? binding[static_cast<size_t>(symbol)] : size;
  }
};

enum class ValueKind : uint8_t {
  kFloat,      ///< f32
  kInt,        ///< i32
  kQuantized,  ///< int8 codes, and a RowQuantization for each row
  kAngles,     ///< for each row, the cosines and then the sines of its position
  kKeyValues,  ///< keys and values of this call, for attention that keeps no cache
};

/// How rows are quantized.
struct QuantizedRows {
  size_t parts = 1;       ///< of each row, each quantized by itself
  size_t block_rows = 0;  ///< that are multiplied together; 0: all

  auto operator<=>(const QuantizedRows&) const = default;
};

struct PlanValue {
  std::string_view name = {};  ///< the graph's; empty for values that only the plan knows
  ValueKind kind = ValueKind::kFloat;
  std::vector<PlanDimension> shape = {};  ///< of kAngles and kKeyValues: rows alone
  size_t width = 0;                       ///< kAngles: rotary_dim; kKeyValues: head_dim
  size_t kv_heads = 0;                    ///< kKeyValues
  size_t block_rows = 0;                  ///< kKeyValues: of a block; 0: all
  int32_t texts_symbol = -1;              ///< kKeyValues: how many texts the rows are; -1: one
  QuantizedRows quantized = {};           ///< kQuantized
  bool is_output = false;
};

struct Step {
  const StepKind* kind = nullptr;
  /// The graph's ops it stands for; of linears one for each output.
  std::vector<uint32_t> ops;
  /// Plan values, as the kind wants them; -1: none.
  std::vector<int32_t> inputs;
  std::vector<int32_t> outputs;
  /// Of linears and convolutions, for each output; empty: no bounds.
  std::vector<OutputBounds> bounds = {};
  /// Of linears: rows that are computed together; 0: all.
  size_t block_rows = 0;
  /// Changes a cache: runs even if nothing reads its outputs.
  bool keeps_state = false;
  /// The cache is of the source: runs in passes over a source only.
  bool of_source = false;
};

/// Made of a verified graph by PlanBuilder.
class Plan {
 public:
  std::span<const PlanValue> values() const { return values_; }
  std::span<const Step> steps() const { return steps_; }
  std::span<const int32_t> outputs() const { return outputs_; }
  /// Sizes in a binding: one for each of the graph's symbols and, with a source, source_pass.
  size_t symbols() const { return symbols_; }

  /// The graph input of each role, as a value; -1 if there is none.
  int32_t token_ids() const { return role_inputs_[1]; }
  int32_t positions() const { return role_inputs_[2]; }
  /// Rows whose outputs are wanted (elsewhere: logits to keep).
  int32_t output_rows() const { return role_inputs_[3]; }
  int32_t token_types() const { return role_inputs_[4]; }
  /// For each text the row behind its last (elsewhere: ragged offsets).
  int32_t text_ends() const { return role_inputs_[5]; }
  /// Of the source of an encoder-decoder, in a pass of its own: ids and their positions, or features.
  int32_t source_ids() const { return role_inputs_[6]; }
  int32_t source_positions() const { return role_inputs_[7]; }
  int32_t source_features() const { return role_inputs_[8]; }
  /// Of a decoder of texts with pictures, in a pass of its own: the patches of an image, and their
  /// places; -1 if there are none.
  int32_t image_patches() const { return role_inputs_[9]; }
  int32_t image_positions() const { return role_inputs_[10]; }
  bool takes_pictures() const { return image_patches() >= 0; }
  bool has_source() const { return source_ids() >= 0 || source_features() >= 0; }
  /// Where a binding says whether a pass is over the source: 1, with no rows for tokens; else 0.
  /// Requires has_source().
  size_t source_pass() const { return symbols_ - 1; }
  /// The inputs that the caller brings by name, ids and the source aside.
  std::span<const int32_t> tensor_inputs() const { return tensor_inputs_; }

  /// Whether tokens may be computed a chunk at a time: what later ones see of earlier ones is in a
  /// cache.
  bool can_chunk() const { return can_chunk_; }
  /// Whether some op keeps a cache.
  bool has_state() const { return has_state_; }

  const schema::fb::Op& op(uint32_t index) const;
  /// The experts that a row is given to by an ExpertLinear; 1 of other ops.
  uint32_t ChoicesOf(uint32_t op) const;
  const schema::VerifiedModel& model() const { return model_; }

  /// A value's shape.
  std::vector<int64_t> shape(int32_t value, const Binding& binding) const;
  size_t rows(int32_t value, const Binding& binding) const;
  /// Where a binding has a value's rows.
  /// Requires a number of rows that is a symbol's.
  size_t rows_symbol(int32_t value) const {
    return static_cast<size_t>(values_[static_cast<size_t>(value)].shape[0].symbol);
  }
  /// Elements in a row: all dimensions but the first.
  size_t row_elements(int32_t value, const Binding& binding) const;

 private:
  friend class PlanBuilder;
  static constexpr size_t kRoles = 11;
  explicit Plan(const schema::VerifiedModel& model) : model_(model) {}

  schema::VerifiedModel model_;
  std::vector<PlanValue> values_;
  std::vector<Step> steps_;
  std::vector<int32_t> outputs_;
  std::vector<int32_t> tensor_inputs_;
  size_t symbols_ = 0;
  int32_t role_inputs_[kRoles];  // by fb::InputRole
  bool can_chunk_ = true;
  bool has_state_ = false;
};

}  // namespace graft::runtime
