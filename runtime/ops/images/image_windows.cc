// SPDX-License-Identifier: Apache-2.0
// Patches and PoolPixels: what a window sees as it moves over an image. Patches (elsewhere: im2col)
// lays its pixels out as a row, PoolPixels takes their mean or largest.
#include "runtime/kernels/images/image_windows.h"

#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/images/image_window.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::runtime::ops {

ImageWindow WindowOf(const schema::fb::ImageWindow& window, bool is_planar) {
  const auto places = schema::PlacesOf(window);
  return {window.channels(),
          window.height(),
          window.width(),
          window.kernel_height(),
          window.kernel_width(),
          window.stride_height(),
          window.stride_width(),
          window.pad_height(),
          window.pad_width(),
          window.dilation_height(),
          window.dilation_width(),
          places.ok() ? static_cast<size_t>(places->width) : 1,
          is_planar};
}

namespace {

class Patches final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const PlanValue& image = source.plan.values()[static_cast<size_t>(source.step.inputs[0])];
    window_ = WindowOf(*source.attributes<schema::fb::Patches>().window(), image.shape.size() == 3);
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    CopyPatches(window_, in0(), begin, end, out(begin));
  }

 private:
  ImageWindow window_;
};

class PoolPixels final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::PoolPixels& pool = source.attributes<schema::fb::PoolPixels>();
    window_ = WindowOf(*pool.window(), false);
    pool_ = pool.kind() == schema::fb::PoolKind::Max ? PoolMax : PoolMean;
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) pool_(window_, in0(), row, out(row));
  }

 private:
  ImageWindow window_;
  void (*pool_)(const ImageWindow&, const float* image, size_t place, float* out) = nullptr;
};

}  // namespace

const StepKind kPatches = {
    .name = "patches", .division = Division::kByRows, .make = MakeRunner<Patches>};
const StepKind kPoolPixels = {
    .name = "pool_pixels", .division = Division::kByRows, .make = MakeRunner<PoolPixels>};

}  // namespace graft::runtime::ops
