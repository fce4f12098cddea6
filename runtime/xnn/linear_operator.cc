// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/linear_operator.h"

#include <cstddef>
#include <new>

#include <xnnpack.h>

#include "runtime/kernels/products/channel_product.h"
#include "runtime/xnn/channel_layout.h"
#include "runtime/xnn/xnn_operator.h"

namespace graft::runtime {

static_assert(sizeof(RowQuantization) == sizeof(xnn_quantization_params));
static_assert(offsetof(RowQuantization, zero_point) ==
              offsetof(xnn_quantization_params, zero_point));
static_assert(offsetof(RowQuantization, scale) == offsetof(xnn_quantization_params, scale));

namespace {

#if defined(__x86_64__) || defined(__i386__)
constexpr bool kIsX86 = true;
#else
constexpr bool kIsX86 = false;
#endif
#if defined(__aarch64__)
constexpr bool kIsArm64 = true;
#else
constexpr bool kIsArm64 = false;
#endif

// Whether XNNPACK's kernel for one row may round otherwise than that for several. Sums of codes are
// exact; what becomes of them is written down in more than one way among ARM's kernels for int8.
// tests/runtime/session/single_rows_test.cc holds the others to it.
bool DependsOnRows(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return true;
    case WeightFormat::kInt8Channel:
      return !kIsX86;
    case WeightFormat::kInt4Block:
    case WeightFormat::kInt4Channel:
      return !kIsX86 && !kIsArm64;
  }
  return true;
}

}  // namespace

struct LinearOperator::Impl {
  Impl(const LinearWeights& weights_in, size_t begin, const char* name_in)
      : weights(&weights_in),
        name(name_in),
        // The provider never writes: this operator only looks its weights up.
        provider(Provider::Mode::kUse,
                 const_cast<uint8_t*>(weights_in.packed) + begin * weights_in.row_bytes) {}
  ~Impl() {
    if (op != nullptr) xnn_delete_operator(op);
  }

  const LinearWeights* weights;
  const char* name;
  Provider provider;
  xnn_operator_t op = nullptr;
  ChannelProduct product;  // in the operator's place, if it has weights
  // Whether that is so for kFewestChannelRows and more alone, and for what was prepared.
  bool is_by_rows = false;
  bool runs_product = false;
  size_t single_rows = 0;  // that go through one by one; 0: all at once
  const void* input = nullptr;
  const xnn_quantization_params* params = nullptr;
  float* output = nullptr;

  xnn_status Reshape(size_t rows) const;
  xnn_status Setup(size_t row) const;
};

xnn_status LinearOperator::Impl::Reshape(size_t rows) const {
  if (weights->convolution.groups != 0) {  // each row is a pixel
    size_t workspace_bytes = 0, alignment = 0;
    const xnn_status status = xnn_reshape_convolution2d_nhwc_f32(
        op, 1, rows, 1, &workspace_bytes, &alignment, nullptr, nullptr, nullptr);
    // A window of one pixel needs no list of pixels.
    return status == xnn_status_success && workspace_bytes != 0 ? xnn_status_invalid_state : status;
  }
  switch (weights->format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return xnn_reshape_fully_connected_nc_f32(op, rows, nullptr);
    case WeightFormat::kInt8Channel:
      return xnn_reshape_fully_connected_nc_qd8_f32_qc8w(op, rows, nullptr);
    case WeightFormat::kInt4Block:
      return xnn_reshape_fully_connected_nc_qd8_f32_qb4w(op, rows, nullptr);
    case WeightFormat::kInt4Channel:
      return xnn_reshape_fully_connected_nc_qd8_f32_qc4w(op, rows, nullptr);
  }
  return xnn_status_invalid_parameter;
}

// Points the operator at the rows from `row` on.
xnn_status LinearOperator::Impl::Setup(size_t row) const {
  const auto* floats = static_cast<const float*>(input) + row * weights->in_features;
  const auto* codes = static_cast<const int8_t*>(input) + row * weights->in_features;
  float* to = output + row * weights->out_features;
  if (weights->convolution.groups != 0)
    return xnn_setup_convolution2d_nhwc_f32(op, /*workspace=*/nullptr, floats, to);
  switch (weights->format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return xnn_setup_fully_connected_nc_f32(op, floats, to);
    case WeightFormat::kInt8Channel:
      return xnn_setup_fully_connected_nc_qd8_f32_qc8w(op, codes, to, params + row);
    case WeightFormat::kInt4Block:
      return xnn_setup_fully_connected_nc_qd8_f32_qb4w(op, codes, to, params + row);
    case WeightFormat::kInt4Channel:
      return xnn_setup_fully_connected_nc_qd8_f32_qc4w(op, codes, to, params + row);
  }
  return xnn_status_invalid_parameter;
}

LinearOperator::LinearOperator() = default;
LinearOperator::~LinearOperator() = default;

Status LinearOperator::Create(const char* name, const LinearWeights& weights, size_t begin,
                              size_t end, const uint16_t* unit_scales, const OutputBounds& bounds) {
  impl_.reset(new (std::nothrow) Impl(weights, begin, name));
  if (!impl_)
    return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate an operator", name);
  BlockTile tile = weights.block_tile;
  if (tile.rows == 0 || !PrefersBlockProduct(tile, weights.in_features, weights.block_size)) {
    tile = {};
    // Ours keep no bounds.
    if (!bounds.any()) {
      GRAFT_ASSIGN_OR_RETURN(tile, FindChannelTile(name, weights));
    }
    impl_->is_by_rows = true;
  }
  if (ChannelProduct& product = impl_->product; tile.rows != 0) {
    product.in_features = weights.in_features;
    product.block_size = weights.block_size;
    product.depth = tile.depth;
    product.is_int4 = weights.format != WeightFormat::kInt8Channel;
    product.packed = impl_->provider.bytes;
    product.out_features = end - begin;
    product.output_stride = weights.out_features;
    if (!impl_->is_by_rows) return OkStatus();
  }
  RowSource source;
  source.scales = unit_scales;
  return FromXnnpack(
      CreateOperator(weights, end - begin, source, impl_->provider, &impl_->op, bounds), name,
      "use");
}

void LinearOperator::Rebind(const uint8_t* packed) {
  // XNNPACK asks the provider for the weights whenever it is given a number of rows.
  impl_->provider.bytes = const_cast<uint8_t*>(packed);
  if (impl_->product.packed != nullptr) impl_->product.packed = packed;
}

Status LinearOperator::Prepare(size_t rows, const void* input, const RowQuantization* quantization,
                               float* output, bool singly) {
  ChannelProduct& product = impl_->product;
  // Rows that go through ours have the bits of a row alone.
  impl_->runs_product =
      product.packed != nullptr && (!impl_->is_by_rows || rows >= kFewestChannelRows);
  if (impl_->runs_product) {
    product.rows = rows;
    product.codes = static_cast<const int8_t*>(input);
    product.quantization = quantization;
    product.output = output;
    return OkStatus();
  }
  impl_->single_rows = singly && rows > 1 && DependsOnRows(impl_->weights->format) ? rows : 0;
  if (impl_->single_rows > 0) rows = 1;
  impl_->input = input;
  impl_->params = reinterpret_cast<const xnn_quantization_params*>(quantization);
  impl_->output = output;
  xnn_status status = impl_->Reshape(rows);
  if (status == xnn_status_success) status = impl_->Setup(0);
  return FromXnnpack(status, impl_->name, "prepare");
}

Status LinearOperator::Run() {
  if (impl_->runs_product) {
    if (impl_->is_by_rows) {
      MultiplyChannels(impl_->product);
    } else {
      MultiplyBlocks(impl_->product);
    }
    return OkStatus();
  }
  for (size_t row = 0; row < impl_->single_rows; ++row) {
    xnn_status status = impl_->Setup(row);
    if (status == xnn_status_success) status = xnn_run_operator(impl_->op, nullptr);
    if (status != xnn_status_success) return FromXnnpack(status, impl_->name, "run");
  }
  if (impl_->single_rows > 0) return OkStatus();
  return FromXnnpack(xnn_run_operator(impl_->op, nullptr), impl_->name, "run");
}

}  // namespace graft::runtime
