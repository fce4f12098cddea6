// SPDX-License-Identifier: Apache-2.0
// RowWindows: each row together with its neighbours in the same text.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "runtime/plan/plan_builder.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class RowWindows final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::RowWindows& windows = source.attributes<schema::fb::RowWindows>();
    before_ = windows.before();
    taps_ = before_ + 1 + windows.after();
    return OkStatus();
  }

  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    if (!by_texts_) return FillRows(0, rows(), begin, end);
    for (const TextRows& text : call.text_slots.texts())
      FillRows(text.begin, text.end, std::max(begin, text.begin), std::min(end, text.end));
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    rows_of_input_ = places.input<float>(0);
    windows_ = places.output<float>(0);
    by_texts_ = places.input<int32_t>(1) != nullptr;
    return OkStatus();
  }

 private:
  // Rows [begin, end) of those of a text, [first, last).
  void FillRows(size_t first, size_t last, size_t begin, size_t end) const {
    const size_t elements = width() / taps_;
    for (size_t row = begin; row < end; ++row) {
      float* to = windows_ + row * width();
      for (size_t tap = 0; tap < taps_; ++tap) {
        const size_t neighbour = row + tap;  // less before_, which may be more
        const bool inside = neighbour >= first + before_ && neighbour < last + before_;
        const float* from = inside ? rows_of_input_ + (neighbour - before_) * elements : nullptr;
        for (size_t i = 0; i < elements; ++i) to[i * taps_ + tap] = inside ? from[i] : 0.0f;
      }
    }
  }

  size_t before_ = 0;
  size_t taps_ = 1;
  bool by_texts_ = false;
  const float* rows_of_input_ = nullptr;
  float* windows_ = nullptr;
};

void PlanRowWindows(PlanBuilder& plan, uint32_t op) {
  plan.AddStep(kRowWindows, op);
  plan.ForbidChunks();
}

}  // namespace

const StepKind kRowWindows = {.name = "row_windows",
                              .division = Division::kByRows,
                              .make = MakeRunner<RowWindows>,
                              .plan = PlanRowWindows};

}  // namespace graft::runtime::ops
