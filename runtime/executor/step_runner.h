// SPDX-License-Identifier: Apache-2.0
// StepRunner: what runs one step of a plan. It reads what the graph says of the step, notes where
// the rows lie once the sizes are known, and computes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "runtime/kernels/attention.h"
#include "runtime/kernels/kv_store.h"
#include "runtime/model/lookup_tables.h"
#include "runtime/model/packed_weights.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/schedule.h"
#include "runtime/plan/text_slots.h"
#include "runtime/threads/task_shares.h"
#include "schema/status.h"

namespace graft::runtime {

class AttentionWorkspace;

/// What a step is made of. All but the step itself outlives the executor.
struct StepSource {
  const Plan& plan;
  const Step& step;
  std::span<const KvView> caches;  ///< one for each of the graph's
  std::span<float* const> states;  ///< likewise
  const PackedWeights& weights;
  const LookupTables& tables;
  AttentionWorkspace& attention;
  const uint16_t* unit_scales;  ///< as UnitScales gives them; while steps are made
  unsigned workers;

  /// The attributes of the graph's op, or of the first of them.
  /// Requires Attributes are those of the kind's op.
  template <class Attributes>
  const Attributes& attributes() const {
    return *static_cast<const Attributes*>(op_attributes());
  }
  /// The numbers of an f32 tensor; null if it is -1.
  const float* floats(int32_t tensor) const;
  /// The width of a matrix.
  size_t matrix_width(int32_t tensor) const;

 private:
  const void* op_attributes() const;
};

/// Where the values of a step lie, for the sizes that were prepared.
struct StepPlaces {
  const Plan& plan;
  const Step& step;
  const Binding& binding;
  const Schedule& schedule;
  uint8_t* arena;
  bool singly = false;  ///< as CallState has it

  /// Input `i` of the step; null if it is neither read nor computed, or is -1, or there are fewer.
  template <class Element>
  const Element* input(size_t i) const {
    return reinterpret_cast<const Element*>(data(step.inputs, i));
  }
  template <class Element>
  Element* output(size_t i) const {
    return reinterpret_cast<Element*>(data(step.outputs, i));
  }
  size_t input_rows(size_t i) const { return plan.rows(step.inputs[i], binding); }
  uint8_t* data(int32_t value) const { return schedule.data(value, arena); }

 private:
  uint8_t* data(const std::vector<int32_t>& values, size_t i) const;
};

/// Of a call of a model that takes pictures: where a pass over an image puts its rows, and what a
/// pass over tokens has in the place of them.
struct ImageCall {
  uint32_t height = 0, width = 0;  ///< of the image, in patches
  float* store = nullptr;
  const float* const* rows = nullptr;   ///< of each token; null: its own. Null: of none
  const PositionRange* runs = nullptr;  ///< as AttentionRows has them, from the first token on
  /// Time, row and column of each token, as schema/model.fbs's Rope counts them; null: all three are
  /// its position.
  const int32_t* axes = nullptr;
};

/// What the running call gives to all steps.
struct CallState {
  size_t first_position = 0;  ///< positions that the caches hold already
  size_t source_rows = 0;     ///< that the caches of the source hold
  ImageCall images;
  bool singly = false;   ///< each row is to be what it would be alone, bit for bit
  TextSlots text_slots;  ///< if the graph takes several texts
  TaskShares shares;     ///< of the running stage, if its step divides its tasks by them
};

/// A kind of step overrides Read and Prepare if there is anything to them, and then RunRows or, if
/// its kind's division is kTasks, CountTasks and RunTask.
/// Thread   Read once, on any thread. Between two Prepares RunRows and RunTask come from any number
///          of threads at once, and allocate nothing.
class StepRunner {
 public:
  StepRunner() = default;
  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;
  virtual ~StepRunner() = default;

  /// Reads what the graph says.
  /// Errors   kOutOfMemory, kUnsupported; each names the tensor.
  virtual Status Read(const StepSource& source);

  /// Notes where the values lie, then calls Prepare.
  /// Errors   those of Prepare.
  Status Place(const StepPlaces& places);

  /// Computes rows [begin, end).
  virtual void RunRows(const CallState& call, size_t begin, size_t end) const;

  /// Divides this call's work into tasks; returns how many.
  virtual uint32_t CountTasks(CallState& call);
  /// Computes one of them, or, by call.shares, one for each call. False: it did not run.
  virtual bool RunTask(CallState& call, uint32_t task, unsigned worker);

  /// Of a kind that reads weights: what a worker reads first, and the packed bytes of all its tasks.
  virtual std::span<const uint8_t> FirstRead(const CallState& call, unsigned worker) const;
  virtual uint64_t weight_bytes() const;

 protected:
  /// Notes what Place does not. Sizes stay valid until the next Prepare.
  virtual Status Prepare(const StepPlaces& places);

  /// Of the first output or, if there is none, of the first input.
  size_t rows() const { return rows_; }
  size_t width() const { return width_; }
  /// A row of the first two inputs and of the first output, if they are f32 of width().
  const float* in0(size_t row = 0) const { return in0_ + row * width_; }
  const float* in1(size_t row = 0) const { return in1_ + row * width_; }
  float* out(size_t row = 0) const { return out_ + row * width_; }

 private:
  size_t rows_ = 0;
  size_t width_ = 0;
  const float* in0_ = nullptr;
  const float* in1_ = nullptr;
  float* out_ = nullptr;
};

/// For StepKind::make.
template <class Runner>
std::unique_ptr<StepRunner> MakeRunner() {
  return std::unique_ptr<StepRunner>(new (std::nothrow) Runner);
}

}  // namespace graft::runtime
