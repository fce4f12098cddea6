// SPDX-License-Identifier: Apache-2.0
// ResizePixels, which brings maps of features to one size, and Planes, which turns rows of pixels
// into a plane for each channel.
#include "runtime/kernels/images/resize_pixels.h"

#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class ResizePixels final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::ResizePixels& resize = source.attributes<schema::fb::ResizePixels>();
    resize_ = {resize.height(), resize.width(), resize.out_height(), resize.out_width(), 0};
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) ResizedPixel(resize_, in0(), row, out(row));
  }

 protected:
  Status Prepare(const StepPlaces&) override {
    resize_.channels = width();
    return OkStatus();
  }

 private:
  PixelResize resize_;
};

class Planes final : public StepRunner {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    const float* pixels = in0();
    for (size_t channel = begin; channel < end; ++channel) {
      float* plane = out(channel);
      for (size_t i = 0; i < width(); ++i) plane[i] = pixels[i * rows() + channel];
    }
  }
};

}  // namespace

const StepKind kResizePixels = {
    .name = "resize_pixels", .division = Division::kByRows, .make = MakeRunner<ResizePixels>};
const StepKind kPlanes = {
    .name = "planes", .division = Division::kByRows, .make = MakeRunner<Planes>};

}  // namespace graft::runtime::ops
