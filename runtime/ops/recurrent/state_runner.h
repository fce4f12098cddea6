// SPDX-License-Identifier: Apache-2.0
// What ops have in common that go through rows one after the other: a state that goes on from call
// to call or, in a graph of several texts, one that begins with each of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "runtime/executor/step_runner.h"
#include "runtime/plan/plan_builder.h"

namespace graft::runtime::ops {

/// Which state a step keeps: one of the graph's or, of index -1, one for the call, of `floats`.
struct StepState {
  int32_t index = -1;
  size_t floats = 0;
};

/// Adds a step of the op that reads `inputs` and keeps `state`.
void AddStateStep(PlanBuilder& plan, const StepKind& kind, uint32_t op,
                  std::initializer_list<int32_t> inputs, const StepState& state);

/// Input `i` of the graph's op.
int32_t InputOf(const PlanBuilder& plan, uint32_t op, uint32_t i);

class StateRunner : public StepRunner {
 protected:
  /// Requires the graph's index of what AddStateStep was told.
  void ReadState(const StepSource& source, int32_t index) {
    kept_ = index < 0 ? nullptr : source.states[static_cast<size_t>(index)];
    workers_ = source.workers;
  }
  void PlaceState(const StepPlaces& places) {
    state_ = kept_ != nullptr ? kept_ : places.output<float>(1);
  }

  float* state() const { return state_; }
  unsigned workers() const { return workers_; }

  /// run(begin, end, fresh) for each text: its rows of the call, and whether it begins here.
  template <class Run>
  void ForEachText(const CallState& call, Run run) const {
    if (kept_ != nullptr) return run(size_t{0}, rows(), false);
    for (const TextRows& text : call.text_slots.texts()) run(text.begin, text.end, true);
  }

 private:
  float* kept_ = nullptr;
  float* state_ = nullptr;
  unsigned workers_ = 1;
};

/// How many of `units` a task takes: at least `fewest`, and so many that the tasks are not more than a
/// team takes.
size_t UnitsOfTask(size_t units, size_t fewest);

/// Whether a row of the call is a text's first.
bool IsFirstRow(const CallState& call, bool by_texts, size_t row);

}  // namespace graft::runtime::ops
