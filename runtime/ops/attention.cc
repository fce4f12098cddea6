// SPDX-License-Identifier: Apache-2.0
// Attention, in two steps: keys and values are stored in the cache, or for this call alone, and then
// rows attend to them. The second is divided by heads and rows, or over the context where there are
// too few of these for the threads.
#include "runtime/kernels/attention.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/executor/attention_scratch.h"
#include "runtime/executor/attention_workspace.h"
#include "runtime/executor/key_values.h"
#include "runtime/executor/step_runner.h"
#include "runtime/kernels/kv_store.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/position_tables.h"
#include "runtime/plan/plan_builder.h"
#include "runtime/threads/worker_team.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// Query vectors (rows x heads of a group) of one task.
constexpr size_t kTaskQueries = 48;
// A decoded token's attention is split between threads over the context when there are too few
// heads to go round.
constexpr size_t kMinSplitPositions = 256;

// Inputs: keys, values, perhaps text ends.
class StoreKeyValues final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    stored_.Read(source, source.attributes<schema::fb::Attention>());
    return OkStatus();
  }

  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    const size_t width = stored_.view.kv_heads * stored_.view.head_dim;
    for (size_t row = begin; row < end; ++row) {
      StoreKv(stored_.view, stored_.SlotOf(call, row), keys_ + row * width, values_ + row * width);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    if (!stored_.cached) stored_.Place(places, places.step.outputs[0]);
    keys_ = places.input<float>(0);
    values_ = places.input<float>(1);
    return OkStatus();
  }

 private:
  KeyValues stored_;
  const float* keys_ = nullptr;
  const float* values_ = nullptr;
};

// Inputs: queries; then, over a cache, perhaps positions of output rows; else the stored keys and
// values, perhaps text ends, perhaps what keys have for the columns of a position table.
class Attend final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Attention& attention = source.attributes<schema::fb::Attention>();
    shape_ = {attention.heads(),    attention.kv_heads(), attention.head_dim(), attention.scale(),
              attention.soft_cap(), attention.window(),   attention.causal()};
    shape_.alibi_slopes = source.floats(attention.alibi_slopes());
    shape_.alibi_scale = attention.alibi_scale();
    shape_.alibi_rounded = attention.alibi_rounded();
    shape_.position_bias = source.floats(attention.position_bias());
    if (shape_.position_bias != nullptr)
      shape_.distances = source.matrix_width(attention.position_bias());
    shape_.distances_before = attention.position_bias_before();
    shape_.both_ways = attention.both_ways();
    shape_.sinks = source.floats(attention.sinks());
    shape_.score_bias = source.floats(attention.score_bias());
    has_image_runs_ = attention.image_runs();
    regions_ = attention.regions() == nullptr ? nullptr : attention.regions()->data();
    stored_.Read(source, attention);
    workspace_ = &source.attention;
    const schema::fb::PositionTables* tables = attention.position_tables();
    if (tables == nullptr) return OkStatus();
    shape_.tables = {source.floats(tables->query()), source.floats(tables->key()),
                     PositionTablesWidth(source.plan.model().model(), *tables)};
    return columns_.Read(source, *tables);
  }

  uint32_t CountTasks(CallState& call) override;
  bool RunTask(CallState& call, uint32_t task, unsigned worker) override;

 protected:
  Status Prepare(const StepPlaces& places) override {
    positions_ = stored_.cached ? places.input<int32_t>(1) : nullptr;
    key_scores_ = places.input<float>(3);
    if (shape_.tables.width > 0) columns_.Prepare(rows());
    if (stored_.cached) return OkStatus();
    stored_.Place(places, places.step.inputs[1]);
    key_rows_ = places.input_rows(1);
    shape_.bias_rows = stored_.block != 0 ? stored_.block : rows();
    shape_.bias_positions = stored_.block != 0 ? stored_.block : key_rows_;
    return OkStatus();
  }

 private:
  // Output rows follow each other, as all rows do.
  size_t FirstPosition(const CallState& call) const {
    return positions_ != nullptr ? static_cast<size_t>(positions_[0])
                                 : stored_.first_position(call);
  }
  // Positions that the call's rows attend to.
  size_t Positions(const CallState& call) const {
    if (!stored_.cached) return key_rows_;
    return positions_ != nullptr ? FirstPosition(call) + rows() : stored_.positions(call, rows());
  }
  // Rows [begin, end) of a call, of one text.
  struct TextBlock {
    size_t begin, end, text;
  };

  // Rows of a task that takes all query heads of a group.
  size_t TaskRows() const {
    return std::max<size_t>(1, kTaskQueries / (shape_.heads / shape_.kv_heads));
  }
  void DivideTexts(const TextSlots& text_slots);
  void RunTextBlock(const TextRows& text, const TextBlock& block, size_t head,
                    float* scratch) const;
  void AddPositions(size_t first_row, size_t head, AttentionRows* rows_of_text) const;
  void RunBlocks(size_t part, size_t head, float* scratch) const;
  size_t SplitsOf(size_t positions) const;
  void RunPart(const AttentionRows& rows, size_t row, size_t head, size_t split, size_t splits,
               float* scratch) const;
  void RunSplit(const AttentionRows& rows, size_t head, size_t split, float* scratch) const;
  size_t RowPositions(const CallState& call, size_t row) const;
  void RunAlone(const CallState& call, AttentionRows rows, size_t row, size_t head,
                float* scratch) const;

  AttentionShape shape_;
  KeyValues stored_;
  const int32_t* positions_ = nullptr;
  PositionColumns columns_;            // of position tables
  const float* key_scores_ = nullptr;  // likewise
  AttentionWorkspace* workspace_ = nullptr;
  const uint8_t* regions_ = nullptr;
  bool has_image_runs_ = false;
  size_t key_rows_ = 0;  // of this call, if there is no cache
  // What CountTasks decided.
  std::vector<TextBlock> text_blocks_;  // what the tasks of a head compute, if there are texts
  size_t blocks_per_task_ = 1;
  size_t task_rows_ = 1;
  size_t splits_ = 1;  // tasks that share one row's context
  size_t alone_rows_ =
      0;  // of a task whose rows are computed as if each were alone; 0: they are not
};

// Blocks of rows of one text each. A task takes several where there would be too many tasks.
void Attend::DivideTexts(const TextSlots& text_slots) {
  text_blocks_.clear();
  const size_t block = TaskRows();
  for (const TextRows& text : text_slots.texts()) {
    for (size_t begin = 0; begin < text.end - text.begin; begin += block) {
      text_blocks_.push_back({text.begin + begin, std::min(text.end, text.begin + begin + block),
                              static_cast<size_t>(&text - text_slots.texts().data())});
    }
  }
  blocks_per_task_ = text_blocks_.size() * shape_.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1;
}

// Tasks that the context of a row that is alone is divided into.
size_t Attend::SplitsOf(size_t positions) const {
  const size_t workers = workspace_->workers();
  if (workers == 1) return 1;
  const size_t visible = shape_.window > 0 ? std::min(positions, shape_.window) : positions;
  const size_t wanted = (2 * workers + shape_.kv_heads - 1) / shape_.kv_heads;
  return std::max<size_t>(1, std::min({wanted, visible / kMinSplitPositions, kMaxAttentionSplits}));
}

uint32_t Attend::CountTasks(CallState& call) {
  const size_t positions = Positions(call);
  splits_ = 1;
  alone_rows_ = 0;
  if (stored_.block != 0) {
    // As many blocks of rows as a task of a whole text's rows has.
    blocks_per_task_ = std::max<size_t>(1, TaskRows() / stored_.block);
    blocks_per_task_ =
        std::max(blocks_per_task_,
                 rows() / stored_.block * shape_.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1);
    const size_t blocks = rows() / stored_.block;
    return static_cast<uint32_t>(shape_.kv_heads *
                                 ((blocks + blocks_per_task_ - 1) / blocks_per_task_));
  }
  if (stored_.by_texts) {
    DivideTexts(call.text_slots);
    const size_t tasks = (text_blocks_.size() + blocks_per_task_ - 1) / blocks_per_task_;
    return static_cast<uint32_t>(shape_.kv_heads * tasks);
  }
  if (rows() == 1 && workspace_->workers() > 1) {
    splits_ = SplitsOf(positions);
    return static_cast<uint32_t>(shape_.kv_heads * splits_);
  }
  // Of several rows the tiles begin where the first's window does, and no context is divided.
  const bool has_splits = SplitsOf(positions) > 1;
  const bool hides = shape_.window > 0 && positions > shape_.window;
  if (call.singly && rows() > 1 && (has_splits || hides)) {
    alone_rows_ = has_splits ? rows() : 1;
    return static_cast<uint32_t>(shape_.kv_heads * (rows() / alone_rows_));
  }
  task_rows_ = std::max(TaskRows(), rows() * shape_.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1);
  return static_cast<uint32_t>(shape_.kv_heads * ((rows() + task_rows_ - 1) / task_rows_));
}

bool Attend::RunTask(CallState& call, uint32_t task, unsigned worker) {
  float* scratch = workspace_->scratch(worker);
  const size_t head = task % shape_.kv_heads;
  const size_t part = task / shape_.kv_heads;
  if (stored_.by_texts) {
    const size_t first = part * blocks_per_task_;
    const size_t last = std::min(text_blocks_.size(), first + blocks_per_task_);
    for (size_t i = first; i < last; ++i) {
      const TextBlock& block = text_blocks_[i];
      RunTextBlock(call.text_slots.texts()[block.text], block, head, scratch);
    }
    return true;
  }
  if (stored_.block != 0) {
    RunBlocks(part, head, scratch);
    return true;
  }
  AttentionRows rows_of_call;
  rows_of_call.query = in0();
  rows_of_call.out = out();
  rows_of_call.first_position = FirstPosition(call);
  rows_of_call.kv_positions = Positions(call);
  if (has_image_runs_ && call.images.runs != nullptr)
    rows_of_call.runs = call.images.runs + (rows_of_call.first_position - call.first_position);
  AddPositions(0, head, &rows_of_call);
  if (alone_rows_ > 0) {
    for (size_t row = part * alone_rows_; row < (part + 1) * alone_rows_; ++row)
      RunAlone(call, rows_of_call, row, head, scratch);
    return true;
  }
  if (splits_ > 1) {
    RunSplit(rows_of_call, head, part, scratch);
    return true;
  }
  // Later rows see more: they go first, so that the short tasks even out the end.
  const size_t blocks = (rows() + task_rows_ - 1) / task_rows_;
  const size_t begin = (blocks - 1 - part) * task_rows_;
  AttendRows(shape_, stored_.view, rows_of_call, head, begin, std::min(rows(), begin + task_rows_),
             scratch);
  return true;
}

// What position tables have for the text that begins at first_row.
void Attend::AddPositions(size_t first_row, size_t head, AttentionRows* rows_of_text) const {
  if (shape_.tables.width == 0) return;
  const PositionColumns::Range range = columns_.RangeOf(rows_of_text->kv_positions);
  rows_of_text->columns = columns_.OfText(rows_of_text->kv_positions);
  rows_of_text->first_column = range.first;
  rows_of_text->last_column = range.last;
  if (key_scores_ != nullptr)
    rows_of_text->key_scores = key_scores_ + (head * rows() + first_row) * shape_.tables.width;
}

// Attention of some rows of one text to that text, as if it were alone.
void Attend::RunTextBlock(const TextRows& text, const TextBlock& block, size_t head,
                          float* scratch) const {
  KvView view = stored_.view;
  view.keys += text.slot * view.head_dim * view.element_bytes();
  view.values += text.slot * view.padded_dim() * view.element_bytes();
  AttentionRows rows_of_text;
  rows_of_text.query = in0(text.begin);
  rows_of_text.out = out(text.begin);
  rows_of_text.kv_positions = text.end - text.begin;
  AddPositions(text.begin, head, &rows_of_text);
  AttendRows(shape_, view, rows_of_text, head, block.begin - text.begin, block.end - text.begin,
             scratch);
}

// Attention of the blocks of one task, each to itself.
void Attend::RunBlocks(size_t part, size_t head, float* scratch) const {
  const size_t rows_of_block = stored_.block;
  const size_t first = part * blocks_per_task_;
  const size_t last = std::min(rows() / rows_of_block, first + blocks_per_task_);
  for (size_t i = first; i < last; ++i) {
    KvView view = stored_.view;
    const size_t slot = i * BlockSlots(rows_of_block);
    view.keys += slot * view.head_dim * view.element_bytes();
    view.values += slot * view.padded_dim() * view.element_bytes();
    AttentionRows rows_of_call;
    rows_of_call.query = in0(i * rows_of_block);
    rows_of_call.out = out(i * rows_of_block);
    rows_of_call.kv_positions = rows_of_block;
    rows_of_call.regions = regions_ == nullptr ? nullptr : regions_ + i * rows_of_block;
    AttendRows(shape_, view, rows_of_call, head, 0, rows_of_block, scratch);
  }
}

// Attention of a row to one of the parts that its context is divided into.
void Attend::RunPart(const AttentionRows& rows, size_t row, size_t head, size_t split,
                     size_t splits, float* scratch) const {
  const size_t end = rows.kv_positions;
  const size_t first = shape_.window > 0 && end > shape_.window ? end - shape_.window : 0;
  const size_t start = first / kKeyBlock * kKeyBlock;
  const size_t share = ((end - start) / splits + kKeyBlock) / kKeyBlock * kKeyBlock;
  const size_t begin = start + split * share;
  const size_t floats = PartialFloats(shape_);
  float* partials = workspace_->partials() + head * kMaxAttentionSplits * floats;
  AttendPartial(shape_, stored_.view, rows, row, head, begin, std::min(end, begin + share), scratch,
                partials + split * floats);
}

// Attention of one row to a part of the context.
void Attend::RunSplit(const AttentionRows& row, size_t head, size_t split, float* scratch) const {
  RunPart(row, 0, head, split, splits_, scratch);
  const float* partials =
      workspace_->partials() + head * kMaxAttentionSplits * PartialFloats(shape_);
  // Whoever finishes a head last puts its parts together.
  if (workspace_->FinishSplit(head, splits_))
    CombinePartials(shape_, row, 0, head, partials, splits_);
}

// Positions that a row of several attends to, if it is alone.
size_t Attend::RowPositions(const CallState& call, size_t row) const {
  return stored_.view.of_source ? call.source_rows : FirstPosition(call) + row + 1;
}

// One row of several, just as a pass of this row would compute it.
void Attend::RunAlone(const CallState& call, AttentionRows rows, size_t row, size_t head,
                      float* scratch) const {
  rows.kv_positions = RowPositions(call, row);
  AddPositions(0, head, &rows);
  const size_t splits = SplitsOf(rows.kv_positions);
  if (splits == 1) {
    AttendRows(shape_, stored_.view, rows, head, row, row + 1, scratch);
    return;
  }
  for (size_t split = 0; split < splits; ++split) RunPart(rows, row, head, split, splits, scratch);
  CombinePartials(shape_, rows, row, head,
                  workspace_->partials() + head * kMaxAttentionSplits * PartialFloats(shape_),
                  splits);
}

const StepKind kStoreKv = {.name = "store_kv", .make = MakeRunner<StoreKeyValues>};

// What keys have for the columns of a position table; -1 if there is none of theirs.
int32_t KeyScores(PlanBuilder& plan, uint32_t index, int32_t ends) {
  const schema::fb::Op& op = plan.op(index);
  const schema::fb::Attention& attention = *op.attributes_as_Attention();
  const schema::fb::PositionTables* tables = attention.position_tables();
  if (tables == nullptr || tables->key() < 0) return -1;
  const int32_t keys = op.inputs()->Get(1);
  const size_t width = attention.heads() * PositionTablesWidth(plan.model().model(), *tables);
  const int32_t scores = plan.AddValue(ValueKind::kFloat, plan.value(keys).shape[0], width);
  plan.AddStep(kKeyPositions, index, {keys, ends}, {scores});
  return scores;
}

void PlanAttention(PlanBuilder& plan, uint32_t index) {
  const schema::fb::Op& op = plan.op(index);
  const schema::fb::Attention& attention = *op.attributes_as_Attention();
  const auto& inputs = *op.inputs();
  const int32_t out = op.outputs()->Get(0);
  if (attention.kv_cache() >= 0) {
    // With queries and positions alone, it reads what an op before it stores.
    if (inputs.size() == 2) {
      plan.AddStep(kAttention, index, {inputs[0], inputs[1]}, {out});
      return;
    }
    const auto cache = static_cast<uint32_t>(attention.kv_cache());
    Step& store = plan.AddStep(kStoreKv, index, {inputs[1], inputs[2]}, {});
    store.keeps_state = true;
    store.of_source = plan.model().model().graph()->kv_caches()->Get(cache)->of_source();
    plan.AddStep(kAttention, index, {inputs[0]}, {out});
    return;
  }
  const bool by_texts = inputs.size() == 4 && inputs[3] == plan.text_ends();
  const int32_t ends = by_texts ? inputs[3] : -1;
  const int32_t stored =
      plan.AddValue(ValueKind::kKeyValues, plan.value(inputs[1]).shape[0], attention.head_dim());
  plan.added_value().kv_heads = attention.kv_heads();
  plan.added_value().block_rows = attention.block();
  if (by_texts) plan.added_value().texts_symbol = plan.value(ends).shape[0].symbol;
  plan.AddStep(kStoreKv, index, {inputs[1], inputs[2], ends}, {stored});
  plan.AddStep(kAttention, index, {inputs[0], stored, ends, KeyScores(plan, index, ends)}, {out});
  if (!plan.is_of_source(inputs[0]) && !plan.is_of_image(inputs[0])) plan.ForbidChunks();
}

}  // namespace

const StepKind kAttention = {.name = "attention",
                             .division = Division::kTasks,
                             .make = MakeRunner<Attend>,
                             .plan = PlanAttention};

}  // namespace graft::runtime::ops
