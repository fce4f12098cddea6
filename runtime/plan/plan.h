// SPDX-License-Identifier: Apache-2.0
// Plan: what to compute, in which order. A verified graph with the steps it leaves unsaid:
// quantizing an activation once for all linears that read it, turning positions into angles once
// for all layers, storing keys and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/plan/step_kind.h"
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

struct PlanValue {
  std::string_view name = {};  ///< the graph's; empty for values that only the plan knows
  ValueKind kind = ValueKind::kFloat;
  std::vector<PlanDimension> shape = {};  ///< of kAngles and kKeyValues: rows alone
  size_t width = 0;                       ///< kAngles: rotary_dim; kKeyValues: head_dim
  size_t kv_heads = 0;                    ///< kKeyValues
  int32_t texts_symbol = -1;              ///< kKeyValues: how many texts the rows are; -1: one
  bool is_output = false;
};

struct Step {
  const StepKind* kind = nullptr;
  /// The graph's ops it stands for; of linears one for each output.
  std::vector<uint32_t> ops;
  /// Plan values, as the kind wants them; -1: none.
  std::vector<int32_t> inputs;
  std::vector<int32_t> outputs;
  /// Changes a cache: runs even if nothing reads its outputs.
  bool keeps_state = false;
};

/// Made of a verified graph by PlanBuilder.
class Plan {
 public:
  std::span<const PlanValue> values() const { return values_; }
  std::span<const Step> steps() const { return steps_; }
  std::span<const int32_t> outputs() const { return outputs_; }
  size_t symbols() const { return symbols_; }

  /// The graph input of each role, as a value; -1 if there is none.
  int32_t token_ids() const { return role_inputs_[1]; }
  int32_t positions() const { return role_inputs_[2]; }
  /// Rows whose outputs are wanted (elsewhere: logits to keep).
  int32_t output_rows() const { return role_inputs_[3]; }
  int32_t token_types() const { return role_inputs_[4]; }
  /// For each text the row behind its last (elsewhere: ragged offsets).
  int32_t text_ends() const { return role_inputs_[5]; }
  /// The inputs that the caller brings by name, token ids aside.
  std::span<const int32_t> tensor_inputs() const { return tensor_inputs_; }

  /// Whether tokens may be computed a chunk at a time: what later ones see of earlier ones is in a
  /// cache.
  bool can_chunk() const { return can_chunk_; }
  /// Whether some op keeps a cache.
  bool has_state() const { return has_state_; }

  const schema::fb::Op& op(uint32_t index) const;
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
  static constexpr size_t kRoles = 6;
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
