// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/schedule.h"

#include <algorithm>
#include <cinttypes>
#include <limits>

#include "runtime/kernels/kv_store.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/plan/text_slots.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/checked_math.h"

namespace graft::runtime {
namespace {

constexpr uint64_t kPlaceAlignment = 64;
constexpr uint64_t kMaxBytes = std::numeric_limits<uint64_t>::max() / 4;

// Sizes below are products of numbers that verify bounds and rows that the caller brings; the
// product is checked here once.
Status BytesOf(const Plan& plan, int32_t value, const Binding& binding, uint64_t* bytes) {
  const PlanValue& planned = plan.values()[static_cast<size_t>(value)];
  const uint64_t rows = plan.rows(value, binding);
  uint64_t row_elements = 1;
  bool fits = true;
  if (planned.width != 0) {
    row_elements = planned.width;
  } else {
    for (size_t i = 1; i < planned.shape.size(); ++i) {
      const int64_t size = planned.shape[i].bound(binding);
      fits = fits && CheckedMultiply(row_elements, static_cast<uint64_t>(size), &row_elements);
    }
  }
  uint64_t elements = 0;
  // 32: no kind takes more bytes for an element, extras aside. Keys of texts and of blocks of rows
  // take up to a block for each, and there are at most as many of them as rows.
  const bool is_apart = planned.texts_symbol >= 0 || planned.block_rows != 0;
  const uint64_t most_rows = is_apart ? rows * kKeyBlock : rows;
  uint64_t bound = 0;
  fits =
      fits && CheckedMultiply(most_rows + kKeyBlock, row_elements + kKeyBlock, &elements) &&
      CheckedMultiply(elements, uint64_t{32} * std::max<uint64_t>(1, planned.kv_heads), &bound) &&
      bound < kMaxBytes;
  if (!fits) {
    return Error(StatusCode::kOutOfMemory,
                 "value %.*s has %" PRIu64 " rows of %" PRIu64 " elements, too many",
                 static_cast<int>(planned.name.size()), planned.name.data(), rows, row_elements);
  }
  if (rows == 0 || row_elements == 0) {
    *bytes = 0;
    return OkStatus();
  }
  switch (planned.kind) {
    case ValueKind::kFloat:
    case ValueKind::kInt:
    case ValueKind::kAngles:
      *bytes = rows * row_elements * 4;
      break;
    case ValueKind::kQuantized:
      *bytes = QuantizedCodesBytes(rows, row_elements) +
               QuantizationCount(rows, planned.quantized) * sizeof(RowQuantization);
      break;
    case ValueKind::kKeyValues: {
      KvView view;
      view.kv_heads = planned.kv_heads;
      view.head_dim = planned.width;
      view.capacity = KeyValuesCapacity(plan, value, binding);
      *bytes = view.bytes();
      break;
    }
  }
  *bytes = (*bytes + kReadableTailBytes + kPlaceAlignment - 1) / kPlaceAlignment * kPlaceAlignment;
  return OkStatus();
}

// Runs backwards from outputs and states to find the steps that matter.
void FindSteps(const Plan& plan, const Binding& binding, Schedule* schedule) {
  std::vector<bool> wanted(plan.values().size(), false);
  for (const int32_t output : plan.outputs()) {
    wanted[static_cast<size_t>(output)] = plan.rows(output, binding) > 0;
  }
  schedule->steps.clear();
  for (size_t i = plan.steps().size(); i-- > 0;) {
    const Step& step = plan.steps()[i];
    bool runs = step.keeps_state && plan.rows(step.inputs[0], binding) > 0 &&
                (!step.of_source || binding[plan.source_pass()] != 0);
    for (const int32_t output : step.outputs) {
      runs = runs || (wanted[static_cast<size_t>(output)] && plan.rows(output, binding) > 0);
    }
    if (!runs) continue;
    schedule->steps.push_back(static_cast<uint32_t>(i));
    // A step that runs for its state writes its outputs all the same.
    for (const int32_t output : step.outputs) {
      if (step.keeps_state) wanted[static_cast<size_t>(output)] = true;
    }
    for (const int32_t input : step.inputs) {
      if (input >= 0) wanted[static_cast<size_t>(input)] = true;
    }
  }
  std::reverse(schedule->steps.begin(), schedule->steps.end());
  // bytes 1: wanted; the size comes later.
  schedule->places.assign(plan.values().size(), ValuePlace{});
  for (size_t value = 0; value < wanted.size(); ++value)
    schedule->places[value].bytes = wanted[value] ? 1 : 0;
}

void FindStages(const Plan& plan, const Binding& binding, Schedule* schedule) {
  schedule->stages.clear();
  for (uint32_t i = 0; i < schedule->steps.size(); ++i) {
    const Step& step = plan.steps()[schedule->steps[i]];
    const int32_t measured = step.outputs.empty() ? step.inputs[0] : step.outputs[0];
    const size_t rows = plan.rows(measured, binding);
    if (!schedule->stages.empty()) {
      Stage& last = schedule->stages.back();
      if (last.by_rows && step.kind->division == Division::kRowLocal && last.rows == rows) {
        ++last.count;
        continue;
      }
    }
    schedule->stages.push_back({i, 1, rows, step.kind->division != Division::kTasks});
  }
}

struct FreeRange {
  uint64_t offset, bytes;
};

// First fit over the free ranges, which stay sorted and merged.
class FirstFit {
 public:
  uint64_t Take(uint64_t bytes) {
    for (size_t i = 0; i < free_.size(); ++i) {
      if (free_[i].bytes < bytes) continue;
      const uint64_t offset = free_[i].offset;
      free_[i].offset += bytes;
      free_[i].bytes -= bytes;
      if (free_[i].bytes == 0) free_.erase(free_.begin() + static_cast<ptrdiff_t>(i));
      return offset;
    }
    uint64_t offset = end_;
    if (!free_.empty() && free_.back().offset + free_.back().bytes == end_) {
      offset = free_.back().offset;
      free_.pop_back();
    }
    end_ = offset + bytes;
    return offset;
  }

  void Release(uint64_t offset, uint64_t bytes) {
    auto next = std::find_if(free_.begin(), free_.end(),
                             [&](const FreeRange& r) { return r.offset > offset; });
    next = free_.insert(next, {offset, bytes});
    const auto after = next + 1;
    if (after != free_.end() && next->offset + next->bytes == after->offset) {
      next->bytes += after->bytes;
      next = free_.erase(after) - 1;
    }
    if (next != free_.begin() && (next - 1)->offset + (next - 1)->bytes == next->offset) {
      (next - 1)->bytes += next->bytes;
      free_.erase(next);
    }
  }

  uint64_t end() const { return end_; }

 private:
  std::vector<FreeRange> free_;
  uint64_t end_ = 0;
};

// A value lives from the stage that writes it to the last that reads it: within a stage threads are
// at different steps.
Status PlaceValues(const Plan& plan, const Binding& binding, Schedule* schedule) {
  constexpr uint32_t kForever = std::numeric_limits<uint32_t>::max();
  std::vector<uint32_t> last_stage(plan.values().size(), 0);
  std::vector<bool> written(plan.values().size(), false);
  for (uint32_t s = 0; s < schedule->stages.size(); ++s) {
    const Stage& stage = schedule->stages[s];
    for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
      const Step& step = plan.steps()[schedule->steps[i]];
      for (const int32_t input : step.inputs) {
        if (input >= 0) last_stage[static_cast<size_t>(input)] = s;
      }
      for (const int32_t output : step.outputs) {
        last_stage[static_cast<size_t>(output)] = s;
        written[static_cast<size_t>(output)] = true;
      }
    }
  }
  for (const int32_t output : plan.outputs()) last_stage[static_cast<size_t>(output)] = kForever;

  FirstFit arena;
  uint64_t total = 0;
  const auto place = [&](int32_t value) -> Status {
    ValuePlace& where = schedule->places[static_cast<size_t>(value)];
    if (where.bytes == 0) return OkStatus();
    GRAFT_RETURN_IF_ERROR(BytesOf(plan, value, binding, &where.bytes));
    if (!CheckedAdd(total, where.bytes, &total) || total > kMaxBytes)
      return Error(StatusCode::kOutOfMemory, "the activations do not fit the address space");
    where.offset = arena.Take(where.bytes);
    return OkStatus();
  };
  // Graph inputs are there before the first stage.
  for (size_t value = 0; value < plan.values().size(); ++value) {
    if (!written[value]) GRAFT_RETURN_IF_ERROR(place(static_cast<int32_t>(value)));
  }
  // dying[s]: values whose last stage is s. Values are few: a scan for each stage would do, a list
  // is as short.
  std::vector<std::vector<int32_t>> dying(schedule->stages.size());
  for (size_t value = 0; value < plan.values().size(); ++value) {
    if (schedule->places[value].bytes > 0 && last_stage[value] < dying.size())
      dying[last_stage[value]].push_back(static_cast<int32_t>(value));
  }
  for (uint32_t s = 0; s < schedule->stages.size(); ++s) {
    const Stage& stage = schedule->stages[s];
    for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
      for (const int32_t output : plan.steps()[schedule->steps[i]].outputs)
        GRAFT_RETURN_IF_ERROR(place(output));
    }
    for (const int32_t value : dying[s]) {
      const ValuePlace& where = schedule->places[static_cast<size_t>(value)];
      if (where.bytes > 0) arena.Release(where.offset, where.bytes);
    }
  }
  schedule->arena_bytes = arena.end() + kReadableTailBytes;
  return OkStatus();
}

}  // namespace

uint64_t QuantizedCodesBytes(size_t rows, size_t width) {
  return (uint64_t{rows} * width + kReadableTailBytes + kPlaceAlignment - 1) / kPlaceAlignment *
         kPlaceAlignment;
}

size_t QuantizationCount(size_t rows, const QuantizedRows& form) {
  const size_t blocks = form.block_rows == 0 ? 1 : (rows + form.block_rows - 1) / form.block_rows;
  return rows * form.parts + blocks * kExtraQuantizations;
}

size_t KeyValuesCapacity(const Plan& plan, int32_t value, const Binding& binding) {
  const size_t block = plan.values()[static_cast<size_t>(value)].block_rows;
  if (block != 0) return plan.rows(value, binding) / block * BlockSlots(block);
  const int32_t symbol = plan.values()[static_cast<size_t>(value)].texts_symbol;
  const int64_t texts = symbol < 0 ? 1 : binding[static_cast<size_t>(symbol)];
  return TextSlots::Capacity(plan.rows(value, binding), static_cast<size_t>(texts));
}

Status MakeSchedule(const Plan& plan, const Binding& binding, Schedule* schedule) {
  FindSteps(plan, binding, schedule);
  FindStages(plan, binding, schedule);
  return PlaceValues(plan, binding, schedule);
}

}  // namespace graft::runtime
