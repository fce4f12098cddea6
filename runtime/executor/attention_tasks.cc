// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/attention_tasks.h"

#include <algorithm>
#include <new>

#include "runtime/threads/worker_team.h"
#include "schema/result.h"

namespace graft::runtime {
namespace {

// Query vectors (rows x heads of a group) of one attention task.
constexpr size_t kAttentionBlock = 48;
// A decoded token's attention is split between threads over the context when there are too few
// heads to go round.
constexpr size_t kMinSplitPositions = 256;

// Blocks of rows of one text each. A task takes several where there would be too many tasks.
void PlanTexts(const TextSlots& text_slots, StepState& s) {
  s.text_blocks.clear();
  const size_t block =
      std::max<size_t>(1, kAttentionBlock / (s.attention.heads / s.attention.kv_heads));
  for (const TextRows& text : text_slots.texts()) {
    for (size_t begin = 0; begin < text.end - text.begin; begin += block) {
      s.text_blocks.push_back({text.begin + begin, std::min(text.end, text.begin + begin + block),
                               static_cast<size_t>(&text - text_slots.texts().data())});
    }
  }
  s.blocks_per_task = s.text_blocks.size() * s.attention.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1;
}

// Attention of some rows of one text to that text, as if it were alone.
void RunTextBlock(const StepState& s, const TextRows& text, const TextBlock& block, size_t head,
                  float* scratch) {
  KvView view = s.view;
  view.keys += text.slot * view.head_dim * view.element_bytes();
  view.values += text.slot * view.padded_dim() * view.element_bytes();
  const size_t width = s.attention.heads * s.attention.head_dim;
  AttentionRows rows;
  rows.query = s.in0 + text.begin * width;
  rows.out = s.out + text.begin * width;
  rows.kv_positions = text.end - text.begin;
  AttendRows(s.attention, view, rows, head, block.begin - text.begin, block.end - text.begin,
             scratch);
}

}  // namespace

Status AttentionTasks::Create(const AttentionScratch& scratch, unsigned workers) {
  workers_ = workers;
  scratch_ = scratch;
  GRAFT_ASSIGN_OR_RETURN(memory_,
                         PageMemory::Allocate(scratch.bytes(workers), "attention's scratch"));
  splits_done_.reset(new (std::nothrow) std::atomic<uint32_t>[scratch.most_kv_heads]());
  if (!splits_done_)
    return Error(StatusCode::kOutOfMemory, "cannot allocate %zu counters", scratch.most_kv_heads);
  return OkStatus();
}

void AttentionTasks::Abandon() {
  for (size_t head = 0; head < scratch_.most_kv_heads; ++head)
    splits_done_[head].store(0, std::memory_order_relaxed);
}

uint32_t AttentionTasks::Plan(const CallState& call, StepState& s) const {
  const AttentionShape& shape = s.attention;
  const size_t positions = (s.cached ? call.first_position : 0) + s.rows;
  s.splits = 1;
  if (s.text_ends != nullptr) {
    PlanTexts(call.text_slots, s);
    const size_t tasks = (s.text_blocks.size() + s.blocks_per_task - 1) / s.blocks_per_task;
    return static_cast<uint32_t>(shape.kv_heads * tasks);
  }
  if (s.rows == 1 && workers_ > 1) {
    const size_t visible = shape.window > 0 ? std::min(positions, shape.window) : positions;
    const size_t wanted = (size_t{2} * workers_ + shape.kv_heads - 1) / shape.kv_heads;
    s.splits =
        std::max<size_t>(1, std::min({wanted, visible / kMinSplitPositions, kMaxAttentionSplits}));
    return static_cast<uint32_t>(shape.kv_heads * s.splits);
  }
  s.block = std::max<size_t>(1, kAttentionBlock / (shape.heads / shape.kv_heads));
  s.block = std::max(s.block, s.rows * shape.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1);
  return static_cast<uint32_t>(shape.kv_heads * ((s.rows + s.block - 1) / s.block));
}

void AttentionTasks::Run(const CallState& call, const StepState& s, uint32_t task,
                         unsigned worker) {
  const AttentionShape& shape = s.attention;
  auto* scratch = reinterpret_cast<float*>(memory_.data());
  float* own = scratch + worker * scratch_.worker_floats;
  AttentionRows rows;
  rows.query = s.in0;
  rows.out = s.out;
  rows.first_position = s.cached ? call.first_position : 0;
  rows.kv_positions = rows.first_position + s.rows;
  const size_t head = task % shape.kv_heads;
  if (s.text_ends != nullptr) {
    const size_t first = task / shape.kv_heads * s.blocks_per_task;
    const size_t last = std::min(s.text_blocks.size(), first + s.blocks_per_task);
    for (size_t i = first; i < last; ++i) {
      const TextBlock& block = s.text_blocks[i];
      RunTextBlock(s, call.text_slots.texts()[block.text], block, head, own);
    }
    return;
  }
  if (s.splits == 1) {
    // Later rows see more: they go first, so that the short tasks even out the end.
    const size_t blocks = (s.rows + s.block - 1) / s.block;
    const size_t begin = (blocks - 1 - task / shape.kv_heads) * s.block;
    AttendRows(shape, s.view, rows, head, begin, std::min(s.rows, begin + s.block), own);
    return;
  }
  const size_t first =
      shape.window > 0 && rows.kv_positions > shape.window ? rows.kv_positions - shape.window : 0;
  const size_t start = first / kKeyBlock * kKeyBlock;
  const size_t share = ((rows.kv_positions - start) / s.splits + kKeyBlock) / kKeyBlock * kKeyBlock;
  const size_t begin = start + task / shape.kv_heads * share;
  float* partials = scratch + workers_ * scratch_.worker_floats +
                    head * kMaxAttentionSplits * PartialFloats(shape);
  AttendPartial(shape, s.view, rows, 0, head, begin, std::min(rows.kv_positions, begin + share),
                own, partials + task / shape.kv_heads * PartialFloats(shape));
  // Whoever finishes a head last puts its parts together.
  if (splits_done_[head].fetch_add(1, std::memory_order_acq_rel) + 1 == s.splits) {
    splits_done_[head].store(0, std::memory_order_relaxed);
    CombinePartials(shape, rows, 0, head, partials, s.splits);
  }
}

}  // namespace graft::runtime
