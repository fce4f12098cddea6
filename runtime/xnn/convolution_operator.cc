// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/convolution_operator.h"

#include <new>

#include <xnnpack.h>

#include "runtime/xnn/xnn_operator.h"

namespace graft::runtime {

struct ConvolutionOperator::Impl {
  Impl(const LinearWeights& weights, const char* name_in)
      : name(name_in),
        // The provider never writes: this operator only looks its weights up.
        provider(Provider::Mode::kUse, const_cast<uint8_t*>(weights.packed)) {}
  ~Impl() {
    if (op != nullptr) xnn_delete_operator(op);
  }

  const char* name;
  Provider provider;
  xnn_operator_t op = nullptr;
  size_t workspace_bytes = 0;
};

ConvolutionOperator::ConvolutionOperator() = default;
ConvolutionOperator::~ConvolutionOperator() = default;

uint64_t ConvolutionOperator::WorkspaceBound(uint64_t windows, size_t kernel) {
  constexpr uint64_t kMostRowsOfTile = 32;
  return (windows + kMostRowsOfTile) * kernel * sizeof(void*) + kPackedAlignment;
}

Status ConvolutionOperator::Create(const char* name, const LinearWeights& weights,
                                   const ImageStripe& stripe, const OutputBounds& bounds) {
  impl_.reset(new (std::nothrow) Impl(weights, name));
  if (!impl_)
    return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate an operator", name);
  GRAFT_RETURN_IF_ERROR(FromXnnpack(
      CreateConvolution(weights, stripe.padding, {}, impl_->provider, &impl_->op, bounds), name,
      "use"));
  size_t alignment = 0;
  return FromXnnpack(xnn_reshape_convolution2d_nhwc_f32(impl_->op, 1, stripe.height, stripe.width,
                                                        &impl_->workspace_bytes, &alignment,
                                                        nullptr, nullptr, nullptr),
                     name, "prepare");
}

size_t ConvolutionOperator::workspace_bytes() const { return impl_->workspace_bytes; }

Status ConvolutionOperator::Prepare(const float* image, void* workspace, float* output) {
  return FromXnnpack(
      xnn_setup_convolution2d_nhwc_f32(impl_->op, impl_->workspace_bytes == 0 ? nullptr : workspace,
                                       image, output),
      impl_->name, "prepare");
}

Status ConvolutionOperator::Run() {
  return FromXnnpack(xnn_run_operator(impl_->op, nullptr), impl_->name, "run");
}

}  // namespace graft::runtime
