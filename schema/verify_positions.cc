// SPDX-License-Identifier: Apache-2.0
// Rules of what ops compute from positions: angles, tables by distance, neighbouring rows.
#include <algorithm>
#include <cinttypes>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"
#include "schema/verify_row_ops.h"

namespace graft::schema {
namespace {

// Columns of position tables that are computed together.
constexpr int64_t kPositionColumnsUnit = 16;
constexpr uint32_t kMostNeighbours = 1 << 12;

// Patches have no time.
Status CheckAxes(const OpChecker& op, const fb::Rope& rope, bool of_patches) {
  const auto& axes = *rope.axes();
  const bool fits = std::all_of(axes.begin(), axes.end(), [of_patches](uint8_t axis) {
    return axis <= 2 && (axis > 0 || !of_patches);
  });
  if (fits && axes.size() == rope.rotary_dim() / 2 && rope.table() == -1 &&
      rope.growth_positions() == 0) {
    return OkStatus();
  }
  return op.OpError(
      "has %u axes, and for that needs one of 3 (of patches, 2) for each of %u "
      "frequencies, no table and no growth",
      axes.size(), rope.rotary_dim() / 2);
}

}  // namespace

Status CheckAngles(const OpChecker& op, const fb::Rope& rope, bool of_patches,
                   uint64_t* positions) {
  if (rope.axes() != nullptr) GRAFT_RETURN_IF_ERROR(CheckAxes(op, rope, of_patches));
  if (rope.table() == -1) {
    return op.ExpectVector(rope.inverse_frequencies(), rope.rotary_dim() / 2,
                           "inverse_frequencies");
  }
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* table, op.MatrixAt(rope.table(), "table"));
  if (rope.inverse_frequencies() != -1 || table->format() != fb::TensorFormat::Float32 ||
      table->shape()->Get(1) != rope.rotary_dim()) {
    return op.OpError("needs its table (%.100s) to be f32 of [positions, %u], and no frequencies",
                      table->name()->c_str(), rope.rotary_dim());
  }
  const auto rows = static_cast<uint64_t>(table->shape()->Get(0));
  *positions = *positions == 0 ? rows : std::min(*positions, rows);
  return OkStatus();
}

Status CheckPositionTables(const OpChecker& op, const fb::Attention& attention) {
  const fb::PositionTables& tables = *attention.position_tables();
  if (attention.kv_cache() != -1 || attention.heads() != attention.kv_heads() ||
      (tables.query() == -1 && tables.key() == -1)) {
    return op.OpError(
        "has position_tables, and for that needs one of the two, as many kv_heads as heads (%u) "
        "and "
        "no kv_cache",
        attention.heads());
  }
  int64_t width = 0;
  for (const int32_t index : {tables.query(), tables.key()}) {
    if (index == -1) continue;
    GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* table, op.MatrixAt(index, "position table"));
    const int64_t columns = table->shape()->Get(1);
    if (width == 0) width = columns;
    if (table->format() != fb::TensorFormat::Float32 || columns != width ||
        columns % kPositionColumnsUnit != 0 ||
        table->shape()->Get(0) != int64_t{attention.heads()} * attention.head_dim()) {
      return op.OpError("needs its position table (%.100s) to be f32 of [%" PRId64
                        ", a multiple of %" PRId64 "], as wide as the other",
                        table->name()->c_str(), int64_t{attention.heads()} * attention.head_dim(),
                        kPositionColumnsUnit);
    }
  }
  int64_t distances = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(tables.columns(), 0, "position columns", &distances));
  if (tables.before() >= distances) {
    return op.OpError("has columns for %" PRId64 " distances, %u of them before the row", distances,
                      tables.before());
  }
  return OkStatus();
}

Status CheckRowWindows(const OpChecker& op, const fb::RowWindows& windows) {
  const bool by_texts = op.input_count() == 2;
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(by_texts ? 2 : 1, 1));
  if (windows.before() > kMostNeighbours || windows.after() > kMostNeighbours) {
    return op.OpError("takes %u rows before and %u after, of at most %u", windows.before(),
                      windows.after(), kMostNeighbours);
  }
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  if (by_texts) {
    GRAFT_RETURN_IF_ERROR(op.ExpectOrigin(1, Origin::kTextEnds, "TextEnds"));
    GRAFT_RETURN_IF_ERROR(op.ExpectTokenRows());
  }
  const int64_t taps = int64_t{1} + windows.before() + windows.after();
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), width * taps));
  return op.ExpectSameRows(op.Input(0), op.Output(0));
}

}  // namespace graft::schema
