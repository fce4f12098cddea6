// SPDX-License-Identifier: Apache-2.0
// Convolution, in one of three ways. Each channel by itself: by our own kernel, whose few numbers
// need no packing. Of quantized numbers without groups: the patches of the image as rows, which are
// quantized and multiplied as any linear op's are. Else by XNNPACK, in floats.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/executor/step_runner.h"
#include "runtime/kernels/embedding.h"
#include "runtime/kernels/images/depthwise.h"
#include "runtime/model/pack_layout.h"
#include "runtime/ops/images/image_window.h"
#include "runtime/ops/linear_plan.h"
#include "runtime/ops/op_table.h"
#include "runtime/plan/plan_builder.h"
#include "runtime/xnn/convolution_operator.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::runtime::ops {
namespace {

namespace fb = schema::fb;

// Tasks of a convolution, at most; there may be fewer rows of places than that.
constexpr size_t kStripes = 16;

struct Places {
  size_t height = 1, width = 1;
};

Places PlacesOf(const fb::Convolution& convolution) {
  const auto places = schema::PlacesOf(*convolution.window(), convolution.extra_height(),
                                       convolution.extra_width());
  if (!places.ok()) return {};
  return {static_cast<size_t>(places->height), static_cast<size_t>(places->width)};
}

const char* NameOfWeight(const StepSource& source, const fb::Convolution& convolution) {
  const auto weight = static_cast<uint32_t>(convolution.weight());
  return source.plan.model().model().tensors()->Get(weight)->name()->c_str();
}

// Rows of places, divided as evenly as they can be.
class Stripes final {
 public:
  explicit Stripes(size_t rows = 1) : rows_(rows), count_(std::min(rows, kStripes)) {}
  size_t count() const { return count_; }
  size_t begin(size_t stripe) const { return stripe * rows_ / count_; }

 private:
  size_t rows_;
  size_t count_;
};

class Depthwise final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const fb::Convolution& convolution = source.attributes<fb::Convolution>();
    const Places places = PlacesOf(convolution);
    shape_.window = WindowOf(*convolution.window(), /*is_planar=*/false);
    shape_.window.out_width = places.width;
    stripes_ = Stripes(places.height);
    shape_.low = source.step.bounds[0].low;
    shape_.high = source.step.bounds[0].high;
    return ReadTaps(source, convolution);
  }

  uint32_t CountTasks(CallState&) override { return static_cast<uint32_t>(stripes_.count()); }

  bool RunTask(CallState&, uint32_t task, unsigned) override {
    for (size_t row = stripes_.begin(task); row < stripes_.begin(task + 1); ++row)
      DepthwiseRow(shape_, in0(), row, out(row * shape_.window.out_width));
    return true;
  }

 private:
  // Turned around: a vector of channels is what the kernel reads.
  Status ReadTaps(const StepSource& source, const fb::Convolution& convolution) {
    const schema::VerifiedModel& model = source.plan.model();
    const StoredMatrix kernels =
        MatrixOf(model, *model.model().tensors()->Get(static_cast<uint32_t>(convolution.weight())));
    const size_t channels = kernels.rows;
    const size_t stride = (channels + kDepthwiseLanes - 1) / kDepthwiseLanes * kDepthwiseLanes;
    GRAFT_ASSIGN_OR_RETURN(
        memory_, PageMemory::Allocate((kernels.width + 1) * stride * sizeof(float), "kernels"));
    auto* bias = reinterpret_cast<float*>(memory_.data());
    float* taps = bias + stride;
    std::unique_ptr<float[]> kernel(new (std::nothrow) float[kernels.width]);
    if (!kernel) {
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate a kernel",
                   NameOfWeight(source, convolution));
    }
    for (size_t channel = 0; channel < channels; ++channel) {
      ReadRow(kernels, channel, 1.0f, kernel.get());
      for (size_t i = 0; i < kernels.width; ++i) taps[i * stride + channel] = kernel[i];
    }
    if (const float* stored = source.floats(convolution.bias()))
      std::copy_n(stored, channels, bias);
    shape_.taps = taps;
    shape_.bias = bias;
    shape_.stride = stride;
    return OkStatus();
  }

  DepthwiseShape shape_;
  Stripes stripes_;
  PageMemory memory_;
};

// Inputs: the image, and memory to work in; outputs: the result, and that memory.
class Convolve final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const fb::Convolution& convolution = source.attributes<fb::Convolution>();
    const fb::ImageWindow& window = *convolution.window();
    const Places places = PlacesOf(convolution);
    stripes_ = Stripes(places.height);
    out_width_ = places.width;
    operators_.reset(new (std::nothrow) ConvolutionOperator[stripes_.count()]);
    if (!operators_) {
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate operators",
                   NameOfWeight(source, convolution));
    }
    const LinearWeights& weights = source.weights.linear(source.step.ops[0]);
    out_channels_ = weights.out_features;
    for (size_t i = 0; i < stripes_.count(); ++i) {
      ImageStripe stripe;
      first_pixels_.push_back(
          FindStripe(convolution, stripes_.begin(i), stripes_.begin(i + 1), &stripe) *
          window.width() * window.channels());
      GRAFT_RETURN_IF_ERROR(operators_[i].Create(NameOfWeight(source, convolution), weights, stripe,
                                                 source.step.bounds[0]));
    }
    return OkStatus();
  }

  uint32_t CountTasks(CallState&) override { return static_cast<uint32_t>(stripes_.count()); }

  bool RunTask(CallState&, uint32_t task, unsigned) override { return operators_[task].Run().ok(); }

 protected:
  Status Prepare(const StepPlaces& places) override {
    constexpr size_t kAlignment = 64;
    auto* workspace = places.output<uint8_t>(1);
    for (size_t i = 0; i < stripes_.count(); ++i) {
      float* to = out() + stripes_.begin(i) * out_width_ * out_channels_;
      GRAFT_RETURN_IF_ERROR(operators_[i].Prepare(in0() + first_pixels_[i], workspace, to));
      workspace += (operators_[i].workspace_bytes() + kAlignment - 1) / kAlignment * kAlignment;
    }
    return OkStatus();
  }

 private:
  // What rows [begin, end) of places see of the image; returns its first row.
  static size_t FindStripe(const fb::Convolution& convolution, size_t begin, size_t end,
                           ImageStripe* stripe) {
    const fb::ImageWindow& w = *convolution.window();
    const auto stride = static_cast<int64_t>(w.stride_height());
    const int64_t reach = int64_t{w.dilation_height()} * (w.kernel_height() - 1) + 1;
    const int64_t first = static_cast<int64_t>(begin) * stride - w.pad_height();
    const int64_t last = (static_cast<int64_t>(end) - 1) * stride - w.pad_height() + reach;
    const int64_t height = w.height();
    // Where a stripe lies wholly in the zeros, a row of the image stays, which no place sees.
    const int64_t top = std::clamp<int64_t>(first, 0, height - 1);
    const int64_t bottom = std::clamp<int64_t>(last, top + 1, height);
    stripe->height = static_cast<size_t>(bottom - top);
    stripe->width = w.width();
    stripe->padding.top = static_cast<uint32_t>(top - first);
    stripe->padding.bottom = static_cast<uint32_t>(std::max<int64_t>(0, last - bottom));
    stripe->padding.left = w.pad_width();
    stripe->padding.right = w.pad_width() + convolution.extra_width();
    return static_cast<size_t>(top);
  }

  Stripes stripes_;
  size_t out_width_ = 1;
  size_t out_channels_ = 1;
  std::vector<size_t> first_pixels_;  // of each stripe, as numbers of the image
  std::unique_ptr<ConvolutionOperator[]> operators_;
};

// The pixels under the window as rows, zeros where it lies outside.
class PatchesOfConvolution final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const fb::Convolution& convolution = source.attributes<fb::Convolution>();
    window_ = WindowOf(*convolution.window(), /*is_planar=*/false);
    window_.out_width = PlacesOf(convolution).width;
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    CopyPatches(window_, in0(), begin, end, out(begin));
  }

 private:
  ImageWindow window_;
};

const StepKind kDepthwise = {
    .name = "depthwise", .division = Division::kTasks, .make = MakeRunner<Depthwise>};
const StepKind kConvolutionPatches = {.name = "convolution_patches",
                                      .division = Division::kByRows,
                                      .make = MakeRunner<PatchesOfConvolution>};

void PlanConvolution(PlanBuilder& plan, uint32_t index) {
  const fb::Convolution& convolution = *plan.op(index).attributes_as_Convolution();
  const int32_t image = plan.op(index).inputs()->Get(0);
  const int32_t output = plan.op(index).outputs()->Get(0);
  const fb::ImageWindow& window = *convolution.window();
  const size_t kernel = size_t{window.kernel_height()} * window.kernel_width();
  if (MultipliesPatches(plan.model(), convolution)) {
    const PlanDimension rows = plan.value(output).shape[0];
    const int32_t patches = plan.AddValue(ValueKind::kFloat, rows, window.channels() * kernel);
    plan.AddStep(kConvolutionPatches, index, {image}, {patches});
    PlanProduct(plan, index, patches);
    return;
  }
  OutputBounds bounds;
  const int32_t bounded = plan.TakeClampAfter(output, &bounds);
  if (IsDepthwise(plan.model(), convolution)) {
    plan.AddStep(kDepthwise, index, {image}, {bounded}).bounds = {bounds};
    return;
  }
  const Places places = PlacesOf(convolution);
  uint64_t workspace_bytes = 0;
  const Stripes stripes(places.height);
  for (size_t i = 0; i < stripes.count(); ++i) {
    const size_t rows = stripes.begin(i + 1) - stripes.begin(i);
    workspace_bytes += ConvolutionOperator::WorkspaceBound(uint64_t{rows} * places.width, kernel);
  }
  const int32_t workspace = plan.AddValue(ValueKind::kFloat, {1, -1},
                                          static_cast<size_t>(workspace_bytes / sizeof(float)));
  // What a step reads has a place, and what it writes has one no longer than need be.
  plan.AddStep(kConvolution, index, {image, workspace}, {bounded, workspace}).bounds = {bounds};
}

}  // namespace

const StepKind kConvolution = {.name = "convolution",
                               .division = Division::kTasks,
                               .make = MakeRunner<Convolve>,
                               .plan = PlanConvolution};

}  // namespace graft::runtime::ops
