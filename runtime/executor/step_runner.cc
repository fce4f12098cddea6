// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/step_runner.h"

#include "schema/generated/model_generated.h"

namespace graft::runtime {

const float* StepSource::floats(int32_t tensor) const {
  if (tensor < 0) return nullptr;
  const schema::VerifiedModel& model = plan.model();
  const schema::fb::Tensor& stored = *model.model().tensors()->Get(static_cast<uint32_t>(tensor));
  return reinterpret_cast<const float*>(model.tensor_bytes(stored).data.data());
}

size_t StepSource::matrix_width(int32_t tensor) const {
  const auto& tensors = *plan.model().model().tensors();
  return static_cast<size_t>(tensors.Get(static_cast<uint32_t>(tensor))->shape()->Get(1));
}

const void* StepSource::op_attributes() const { return plan.op(step.ops[0]).attributes(); }

uint8_t* StepPlaces::data(const std::vector<int32_t>& values, size_t i) const {
  return i < values.size() && values[i] >= 0 ? schedule.data(values[i], arena) : nullptr;
}

Status StepRunner::Place(const StepPlaces& places) {
  const Step& step = places.step;
  const int32_t measured = step.outputs.empty() ? step.inputs[0] : step.outputs[0];
  rows_ = places.plan.rows(measured, places.binding);
  width_ = places.plan.row_elements(measured, places.binding);
  in0_ = places.input<float>(0);
  in1_ = places.input<float>(1);
  out_ = places.output<float>(0);
  return Prepare(places);
}

Status StepRunner::Read(const StepSource&) { return OkStatus(); }
Status StepRunner::Prepare(const StepPlaces&) { return OkStatus(); }
void StepRunner::RunRows(const CallState&, size_t, size_t) const {}
uint32_t StepRunner::CountTasks(CallState&) { return 0; }
bool StepRunner::RunTask(CallState&, uint32_t, unsigned) { return true; }
std::span<const uint8_t> StepRunner::FirstRead(const CallState&, unsigned) const { return {}; }
uint64_t StepRunner::weight_bytes() const { return 0; }

}  // namespace graft::runtime
