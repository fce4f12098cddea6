// SPDX-License-Identifier: Apache-2.0
// Ops that measure a row: GaussianTopK by its mean and deviation, MatchRms by its root mean square.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class GaussianTopK final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    deviations_ = source.attributes<schema::fb::GaussianTopK>().deviations();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      GaussianTopKRow(in0(row), deviations_, width(), out(row));
  }

 private:
  float deviations_ = 0.0f;
};

class MatchRms final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    floor_ = source.attributes<schema::fb::MatchRms>().floor();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      MatchRmsRow(in0(row), in1(row), floor_, width(), out(row));
  }

 private:
  float floor_ = 0.0f;
};

}  // namespace

const StepKind kGaussianTopK = {.name = "gaussian_top_k", .make = MakeRunner<GaussianTopK>};
const StepKind kMatchRms = {.name = "match_rms", .make = MakeRunner<MatchRms>};

}  // namespace graft::runtime::ops
