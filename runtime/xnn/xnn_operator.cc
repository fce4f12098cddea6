// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/xnn_operator.h"

#include <limits>

namespace graft::runtime {
namespace {

constexpr size_t kNotFound = std::numeric_limits<size_t>::max();
constexpr uint8_t kInt4ZeroPoint = 8;

}  // namespace

Provider::Provider(Mode mode_in, uint8_t* bytes_in, size_t capacity_in)
    : mode(mode_in), bytes(bytes_in), capacity(capacity_in) {
  callbacks.context = this;
  callbacks.look_up = [](void* context, const xnn_weights_cache_look_up_key*) -> size_t {
    return static_cast<Provider*>(context)->mode == Mode::kUse ? 0 : kNotFound;
  };
  callbacks.reserve_space = [](void* context, size_t size) -> void* {
    auto* self = static_cast<Provider*>(context);
    self->asked = size;
    // A measurement ends here: without memory, creation fails before anything is packed.
    return self->mode == Mode::kPack && size <= self->capacity ? self->bytes : nullptr;
  };
  callbacks.look_up_or_insert = [](void*, const xnn_weights_cache_look_up_key*, void*,
                                   size_t) -> size_t { return 0; };
  callbacks.is_finalized = [](void* context) -> bool {
    return static_cast<Provider*>(context)->mode == Mode::kUse;
  };
  callbacks.offset_to_addr = [](void* context, size_t offset) -> void* {
    return static_cast<Provider*>(context)->bytes + offset;
  };
  callbacks.delete_cache = [](void*) { return xnn_status_success; };
}

xnn_status CreateOperator(const LinearWeights& weights, size_t rows, const RowSource& source,
                          Provider& provider, xnn_operator_t* op, const OutputBounds& bounds) {
  if (weights.convolution.groups != 0)
    return CreateConvolution(weights, {}, source, provider, op, bounds);
  const size_t in = weights.in_features;
  const size_t stride = weights.out_features;
  switch (weights.format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return xnn_create_fully_connected_nc_f32(
          in, rows, in, stride, static_cast<const float*>(source.data), source.bias, bounds.low,
          bounds.high, 0, nullptr, &provider.callbacks, op);
    case WeightFormat::kInt8Channel:
      return xnn_create_fully_connected_nc_qd8_f32_qc8w(
          in, rows, in, stride, static_cast<const float*>(source.scales),
          static_cast<const int8_t*>(source.data), source.bias, bounds.low, bounds.high, 0, nullptr,
          &provider.callbacks, op);
    case WeightFormat::kInt4Block:
      return xnn_create_fully_connected_nc_qd8_f32_qb4w(
          in, rows, in, stride, weights.block_size, kInt4ZeroPoint,
          static_cast<const uint16_t*>(source.scales), source.data, source.bias, bounds.low,
          bounds.high, 0, nullptr, &provider.callbacks, op);
    case WeightFormat::kInt4Channel:
      return xnn_create_fully_connected_nc_qd8_f32_qc4w(
          in, rows, in, stride, kInt4ZeroPoint, static_cast<const float*>(source.scales),
          source.data, source.bias, bounds.low, bounds.high, 0, nullptr, &provider.callbacks, op);
  }
  return xnn_status_invalid_parameter;
}

xnn_status CreateConvolution(const LinearWeights& weights, const ImagePadding& padding,
                             const RowSource& source, Provider& provider, xnn_operator_t* op,
                             const OutputBounds& bounds) {
  const ImageKernelShape& shape = weights.convolution;
  const size_t group_channels = weights.in_features / shape.kernel();
  return xnn_create_convolution2d_nhwc_f32(
      padding.top, padding.right, padding.bottom, padding.left, shape.kernel_height,
      shape.kernel_width, shape.stride_height, shape.stride_width, shape.dilation_height,
      shape.dilation_width, shape.groups, group_channels, weights.out_features / shape.groups,
      group_channels * shape.groups, weights.out_features, static_cast<const float*>(source.data),
      source.bias, bounds.low, bounds.high, XNN_FLAG_TRANSIENT_INDIRECTION_BUFFER, nullptr,
      &provider.callbacks, op);
}

Status FromXnnpack(xnn_status status, const char* name, const char* what) {
  switch (status) {
    case xnn_status_success:
      return OkStatus();
    case xnn_status_unsupported_parameter:
    case xnn_status_unsupported_hardware:
      return Error(StatusCode::kUnsupported, "tensor %.200s: this CPU has no kernel to %s it", name,
                   what);
    case xnn_status_out_of_memory:
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: out of memory while trying to %s it",
                   name, what);
    case xnn_status_invalid_parameter:
      return Error(StatusCode::kCorrupt,
                   "tensor %.200s: XNNPACK refuses to %s it: a scale is not a positive number",
                   name, what);
    default:
      return Error(StatusCode::kInternal,
                   "tensor %.200s: XNNPACK gives status %d on trying to %s it", name,
                   static_cast<int>(status), what);
  }
}

}  // namespace graft::runtime
