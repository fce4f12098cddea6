// SPDX-License-Identifier: Apache-2.0
// MergePatches: rows of patches that follow each other become one, beside each other or as their
// mean.
#include <algorithm>
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class MergePatches final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::MergePatches& merge = source.attributes<schema::fb::MergePatches>();
    count_ = merge.count();
    is_mean_ = merge.mean();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    const size_t from_width = is_mean_ ? width() : width() / count_;
    for (size_t row = begin; row < end; ++row) {
      const float* from = patches_ + row * count_ * from_width;
      if (!is_mean_) {
        std::copy_n(from, width(), out(row));
        continue;
      }
      const auto divisor = static_cast<double>(count_);
      for (size_t column = 0; column < width(); ++column) {
        double sum = 0.0;
        for (size_t i = 0; i < count_; ++i) sum += from[i * width() + column];
        out(row)[column] = static_cast<float>(sum / divisor);
      }
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    patches_ = places.input<float>(0);
    return OkStatus();
  }

 private:
  size_t count_ = 1;
  bool is_mean_ = false;
  const float* patches_ = nullptr;
};

}  // namespace

const StepKind kMergePatches = {
    .name = "merge_patches", .division = Division::kByRows, .make = MakeRunner<MergePatches>};

}  // namespace graft::runtime::ops
