// SPDX-License-Identifier: Apache-2.0
#include "runtime/ops/position_tables.h"

#include <algorithm>

#include "runtime/executor/attention_scratch.h"
#include "runtime/kernels/attention.h"
#include "runtime/threads/worker_team.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// Keys of one task, which share a pass over a head's table.
constexpr size_t kTaskRows = 64;

class KeyPositions final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Attention& attention = source.attributes<schema::fb::Attention>();
    const schema::fb::PositionTables& tables = *attention.position_tables();
    heads_ = attention.heads();
    head_dim_ = attention.head_dim();
    table_ = source.floats(tables.key());
    columns_ = PositionTablesWidth(source.plan.model().model(), tables);
    return by_distance_.Read(source, tables);
  }

  uint32_t CountTasks(CallState&) override {
    task_rows_ = std::max(kTaskRows, rows() * heads_ / (WorkerTeam::kMaxTasks / 2) + 1);
    return static_cast<uint32_t>(heads_ * ((rows() + task_rows_ - 1) / task_rows_));
  }

  bool RunTask(CallState& call, uint32_t task, unsigned /*worker*/) override {
    const size_t head = task % heads_;
    const size_t begin = task / heads_ * task_rows_;
    const size_t end = std::min(rows(), begin + task_rows_);
    if (!by_texts_) {
      Multiply(head, begin, end, rows());
      return true;
    }
    for (const TextRows& text : call.text_slots.texts()) {
      const size_t first = std::max(begin, text.begin);
      const size_t last = std::min(end, text.end);
      if (first < last) Multiply(head, first, last, text.end - text.begin);
    }
    return true;
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    keys_ = places.input<float>(0);
    by_texts_ = places.input<int32_t>(1) != nullptr;
    scores_ = places.output<float>(0);
    by_distance_.Prepare(rows());
    return OkStatus();
  }

 private:
  // Rows [begin, end) of a text of text_rows rows.
  void Multiply(size_t head, size_t begin, size_t end, size_t text_rows) const {
    const PositionColumns::Range range = by_distance_.RangeOf(text_rows);
    const size_t stride = heads_ * head_dim_;
    ProductsWithTable(keys_ + begin * stride + head * head_dim_, end - begin, stride,
                      table_ + head * head_dim_ * columns_, head_dim_, columns_, range.first,
                      range.last, scores_ + (head * rows() + begin) * columns_);
  }

  PositionColumns by_distance_;
  size_t heads_ = 0;
  size_t head_dim_ = 0;
  size_t columns_ = 0;
  size_t task_rows_ = kTaskRows;
  bool by_texts_ = false;
  const float* table_ = nullptr;
  const float* keys_ = nullptr;
  float* scores_ = nullptr;
};

}  // namespace

Status PositionColumns::Read(const StepSource& source, const schema::fb::PositionTables& tables) {
  const schema::fb::Model& model = source.plan.model().model();
  const schema::fb::Tensor& tensor = *model.tensors()->Get(static_cast<uint32_t>(tables.columns()));
  const auto count = static_cast<size_t>(tensor.shape()->Get(0));
  const auto columns = static_cast<float>(PositionTablesWidth(model, tables));
  const float* stored = source.floats(tables.columns());
  before_ = tables.before();
  stored_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    // Written so that a NaN fails, too.
    if (!(stored[i] >= 0.0f && stored[i] < columns)) {
      return Error(StatusCode::kCorrupt, "tensor %.200s has %g as number %zu, a column of %g",
                   tensor.name()->c_str(), static_cast<double>(stored[i]), i,
                   static_cast<double>(columns));
    }
    stored_[i] = static_cast<uint32_t>(stored[i]);
  }
  return OkStatus();
}

void PositionColumns::Prepare(size_t rows) {
  if (rows == rows_) return;
  rows_ = rows;
  by_distance_.resize(2 * rows - 1);
  for (size_t i = 0; i < by_distance_.size(); ++i) {
    // Place i is of the distance i - (rows - 1).
    const size_t at = before_ + i < rows - 1 ? 0 : before_ + i - (rows - 1);
    by_distance_[i] = stored_[std::min(at, stored_.size() - 1)];
  }
}

PositionColumns::Range PositionColumns::RangeOf(size_t rows) const {
  const uint32_t* columns = OfText(rows);
  const auto [lowest, highest] = std::minmax_element(columns, columns + 2 * rows - 1);
  return {*lowest / kKeyBlock * kKeyBlock, (*highest / kKeyBlock + 1) * kKeyBlock};
}

const StepKind kKeyPositions = {
    .name = "key_positions", .division = Division::kTasks, .make = MakeRunner<KeyPositions>};

}  // namespace graft::runtime::ops
