// SPDX-License-Identifier: Apache-2.0
// Rotate: heads turned by angles that are the model's own, as of places in an image.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/rope.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class Rotate final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Rotate& rotate = source.attributes<schema::fb::Rotate>();
    angles_ = source.floats(rotate.angles());
    head_dim_ = rotate.head_dim();
    half_ = head_dim_ / 2;
    const schema::fb::Tensor& stored =
        *source.plan.model().model().tensors()->Get(static_cast<uint32_t>(rotate.angles()));
    const auto angles = static_cast<size_t>(stored.shape()->Get(0)) * half_;
    turns_.reset(new (std::nothrow) float[2 * angles]);
    if (!turns_) {
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate %zu sines",
                   stored.name()->c_str(), 2 * angles);
    }
    for (size_t i = 0; i < angles; ++i) {
      float* row = turns_.get() + i / half_ * head_dim_;
      row[i % half_] = static_cast<float>(std::cos(static_cast<double>(angles_[i])));
      row[half_ + i % half_] = static_cast<float>(std::sin(static_cast<double>(angles_[i])));
    }
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      const float* turns = turns_.get() + row * head_dim_;
      RopeRow(in0(row), width() / head_dim_, head_dim_, half_, /*interleaved=*/false, turns,
              turns + half_, out(row));
    }
  }

 private:
  const float* angles_ = nullptr;
  size_t head_dim_ = 0;
  size_t half_ = 0;
  std::unique_ptr<float[]> turns_;  // of each row the cosines, then the sines
};

}  // namespace

const StepKind kRotate = {.name = "rotate", .make = MakeRunner<Rotate>};

}  // namespace graft::runtime::ops
