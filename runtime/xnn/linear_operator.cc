// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/linear_operator.h"

#include <xnnpack.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/kernels/block_product.h"
#include "runtime/xnn/block_packing.h"

namespace graft::runtime {
namespace {

static_assert(sizeof(RowQuantization) == sizeof(xnn_quantization_params));
static_assert(offsetof(RowQuantization, zero_point) ==
              offsetof(xnn_quantization_params, zero_point));
static_assert(offsetof(RowQuantization, scale) == offsetof(xnn_quantization_params, scale));
static_assert(kReadableTailBytes >= XNN_EXTRA_BYTES);
static_assert(kExtraQuantizations >= XNN_EXTRA_QUANTIZATION_PARAMS);

constexpr size_t kNotFound = std::numeric_limits<size_t>::max();
constexpr size_t kPackedAlignment = 64;
constexpr uint8_t kInt4ZeroPoint = 8;
constexpr size_t kProbeRows = 256;  // a multiple of every kernel's tile
constexpr uint16_t kOneAsBFloat16 = 0x3F80;

// Answers one operator's questions about its packed weights.
struct Provider {
  enum class Mode : uint8_t { kMeasure, kPack, kUse };

  explicit Provider(Mode mode_in, uint8_t* bytes_in = nullptr, size_t capacity_in = 0)
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
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  xnn_weights_cache_provider callbacks = {};
  const Mode mode;
  uint8_t* const bytes;
  const size_t capacity;
  size_t asked = 0;
};

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

// Where the rows to be packed are.
struct RowSource {
  const void* data = nullptr;
  const void* scales = nullptr;
  const float* bias = nullptr;
};

xnn_status CreateOperator(const LinearWeights& weights, size_t rows, const RowSource& source,
                          Provider& provider, xnn_operator_t* op) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const size_t in = weights.in_features;
  const size_t stride = weights.out_features;
  switch (weights.format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return xnn_create_fully_connected_nc_f32(
          in, rows, in, stride, static_cast<const float*>(source.data), source.bias, -kInfinity,
          kInfinity, 0, nullptr, &provider.callbacks, op);
    case WeightFormat::kInt8Channel:
      return xnn_create_fully_connected_nc_qd8_f32_qc8w(
          in, rows, in, stride, static_cast<const float*>(source.scales),
          static_cast<const int8_t*>(source.data), source.bias, -kInfinity, kInfinity, 0, nullptr,
          &provider.callbacks, op);
    case WeightFormat::kInt4Block:
      return xnn_create_fully_connected_nc_qd8_f32_qb4w(
          in, rows, in, stride, weights.block_size, kInt4ZeroPoint,
          static_cast<const uint16_t*>(source.scales), source.data, source.bias, -kInfinity,
          kInfinity, 0, nullptr, &provider.callbacks, op);
    case WeightFormat::kInt4Channel:
      return xnn_create_fully_connected_nc_qd8_f32_qc4w(
          in, rows, in, stride, kInt4ZeroPoint, static_cast<const float*>(source.scales),
          source.data, source.bias, -kInfinity, kInfinity, 0, nullptr, &provider.callbacks, op);
  }
  return xnn_status_invalid_parameter;
}

// Packed bytes of `rows` rows, as XNNPACK asks for them.
Result<uint64_t> MeasureRows(const char* name, LinearWeights weights, size_t rows,
                             const uint16_t* unit_scales) {
  Provider provider(Provider::Mode::kMeasure);
  RowSource source;
  source.scales = unit_scales;
  weights.out_features =
      std::max(weights.out_features, rows);  // the output's stride, which no layout depends on
  xnn_operator_t op = nullptr;
  const xnn_status status = CreateOperator(weights, rows, source, provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (provider.asked != 0) return static_cast<uint64_t>(provider.asked);
  return FromXnnpack(status == xnn_status_success ? xnn_status_invalid_state : status, name, "run");
}

}  // namespace

Status InitializeKernels() {
  static const xnn_status status = xnn_initialize(nullptr);
  if (status == xnn_status_success) return OkStatus();
  if (status == xnn_status_unsupported_hardware)
    return Error(StatusCode::kUnsupported, "XNNPACK does not support this CPU");
  return Error(StatusCode::kOutOfMemory, "XNNPACK cannot be initialized (status %d)",
               static_cast<int>(status));
}

namespace {

// Looks for a layout that grows linearly with the rows; leaves tile_rows 0 if there is none.
Status FindTiles(const char* name, LinearWeights* weights, const uint16_t* unit_scales) {
  // Sizes of a few row counts tell how the layout grows: by row_bytes a row, in steps of the
  // kernel's tile.
  GRAFT_ASSIGN_OR_RETURN(const uint64_t base, MeasureRows(name, *weights, kProbeRows, unit_scales));
  GRAFT_ASSIGN_OR_RETURN(const uint64_t next,
                         MeasureRows(name, *weights, kProbeRows + 1, unit_scales));
  GRAFT_ASSIGN_OR_RETURN(const uint64_t twice,
                         MeasureRows(name, *weights, 2 * kProbeRows, unit_scales));
  const uint64_t row_bytes = (twice - base) / kProbeRows;
  // Sizes are rounded up to the alignment, so a step is a whole number of rows and less than one
  // alignment more.
  if (row_bytes <= kPackedAlignment || base != row_bytes * kProbeRows || twice != 2 * base)
    return OkStatus();
  const auto tile = static_cast<size_t>((next - base) / row_bytes);
  if (tile == 0 || kProbeRows % tile != 0 || next - base - tile * row_bytes >= kPackedAlignment)
    return OkStatus();
  size_t tile_rows = tile;
  while (tile_rows * row_bytes % kPackedAlignment != 0) tile_rows += tile;
  if (weights->out_features < tile_rows) return OkStatus();
  const uint64_t rows = (weights->out_features + tile - 1) / tile * tile;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(rows, row_bytes, &bytes) ||
      bytes > std::numeric_limits<uint64_t>::max() / 2) {
    return Error(StatusCode::kOutOfMemory, "tensor %.200s: its packed size does not fit", name);
  }
  weights->tile_rows = tile_rows;
  weights->row_bytes = row_bytes;
  weights->block_tile = tile;
  weights->packed_bytes = (bytes + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
  return OkStatus();
}

// Whether PackBlocks gives, for a tile of known numbers, the bytes that XNNPACK gives on this CPU.
bool PacksLikeXnnpack(const LinearWeights& weights) {
  constexpr size_t kColumns = 512;
  const size_t tile = weights.block_tile;
  const size_t block = weights.block_size;
  if (weights.format != WeightFormat::kInt4Block || tile == 0 || tile > kMaxTile ||
      weights.row_bytes != BlockRowBytes(weights.in_features, block)) {
    return false;
  }
  LinearWeights sample = weights;
  sample.out_features = tile;
  sample.in_features = std::min(weights.in_features, kColumns);
  sample.tile_rows = 0;
  const size_t blocks = sample.in_features / block;
  std::vector<uint8_t> codes(tile * sample.in_features / 2);
  std::vector<uint16_t> scales(tile * blocks);
  std::vector<float> bias(tile);
  uint32_t bits = 1;
  const auto next = [&bits] { return (bits = bits * 1664525u + 1013904223u) >> 16; };
  for (uint8_t& code : codes) code = static_cast<uint8_t>(next());
  for (uint16_t& scale : scales) scale = static_cast<uint16_t>(kOneAsBFloat16 | (next() & 0x7F));
  for (float& value : bias) value = static_cast<float>(next());
  const BlockRows rows = {codes.data(), scales.data(),      bias.data(),
                          tile,         sample.in_features, block};
  const size_t bytes = tile * BlockRowBytes(sample.in_features, block);
  std::vector<uint8_t> ours(bytes);
  // XNNPACK may round the size up.
  std::vector<uint8_t> theirs(bytes + kPackedAlignment);
  PackBlocks({tile}, rows, ours.data());
  Provider provider(Provider::Mode::kPack, theirs.data(), theirs.size());
  xnn_operator_t op = nullptr;
  const xnn_status status =
      CreateOperator(sample, tile, {codes.data(), scales.data(), bias.data()}, provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  return status == xnn_status_success && std::equal(ours.begin(), ours.end(), theirs.begin());
}

}  // namespace

Status FindLayout(const char* name, LinearWeights* weights) {
  weights->tile_rows = 0;
  weights->row_bytes = 0;
  weights->block_tile = 0;
  // Beyond this width rows are not measured one against another: the scales to do it with would
  // outgrow the weight.
  constexpr size_t kMaxProbedFeatures = size_t{1} << 18;
  const bool probe = weights->in_features <= kMaxProbedFeatures;
  const size_t blocks =
      weights->format == WeightFormat::kInt4Block ? weights->in_features / weights->block_size : 0;
  const uint64_t rows = std::max<uint64_t>(weights->out_features, probe ? 2 * kProbeRows : 0);
  GRAFT_ASSIGN_OR_RETURN(const PageMemory scales,
                         PageMemory::Allocate(rows * blocks * sizeof(uint16_t), "scales"));
  auto* ones = reinterpret_cast<uint16_t*>(scales.data());
  std::fill_n(ones, 2 * (probe ? kProbeRows : 0) * blocks, kOneAsBFloat16);
  if (probe) GRAFT_RETURN_IF_ERROR(FindTiles(name, weights, ones));
  if (weights->tile_rows != 0) {
    if (!PacksLikeXnnpack(*weights)) weights->block_tile = 0;
    return OkStatus();
  }
  std::fill_n(ones, weights->out_features * blocks, kOneAsBFloat16);
  GRAFT_ASSIGN_OR_RETURN(weights->packed_bytes,
                         MeasureRows(name, *weights, weights->out_features, ones));
  return OkStatus();
}

PackedRange PackedRangeOf(const LinearWeights& weights, size_t begin, size_t end) {
  const uint64_t offset = begin * weights.row_bytes;
  const uint64_t after =
      end == weights.out_features ? weights.packed_bytes : end * weights.row_bytes;
  return {offset, after - offset};
}

Status PackRows(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
                const float* bias, size_t begin, size_t end, uint8_t* packed) {
  RowSource source;
  source.data = matrix.data + begin * matrix.row_bytes();
  source.bias = bias == nullptr ? nullptr : bias + begin;
  switch (weights.format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      break;
    case WeightFormat::kInt8Channel:
    case WeightFormat::kInt4Channel:
      source.scales = matrix.scales + begin * sizeof(float);
      break;
    case WeightFormat::kInt4Block:
      source.scales = matrix.scales + begin * (matrix.width / matrix.block_size) * sizeof(uint16_t);
      break;
  }
  std::unique_ptr<float[]> widened;
  if (weights.format == WeightFormat::kFloat16 || weights.format == WeightFormat::kBFloat16) {
    widened.reset(new (std::nothrow) float[(end - begin) * matrix.width]);
    if (!widened) {
      return Error(StatusCode::kOutOfMemory,
                   "tensor %.200s: cannot allocate %zu floats to widen %zu rows", name,
                   (end - begin) * matrix.width, end - begin);
    }
    for (size_t row = begin; row < end; ++row)
      ReadRow(matrix, row, 1.0f, &widened[(row - begin) * matrix.width]);
    source.data = widened.get();
  }
  const uint64_t capacity = PackedRangeOf(weights, begin, end).bytes;
  if (weights.block_tile != 0) {
    const BlockRows rows = {matrix.data + begin * matrix.row_bytes(),
                            static_cast<const uint16_t*>(source.scales),
                            source.bias,
                            end - begin,
                            matrix.width,
                            matrix.block_size};
    // Other scales are left to XNNPACK, which refuses those that are not positive and normal.
    if (CanPackScales(rows)) {
      const size_t tiles = (rows.rows + weights.block_tile - 1) / weights.block_tile;
      const uint64_t bytes = tiles * weights.block_tile * weights.row_bytes;
      PackBlocks({weights.block_tile}, rows, packed);
      std::memset(packed + bytes, 0, capacity - bytes);
      return OkStatus();
    }
  }
  Provider provider(Provider::Mode::kPack, packed, capacity);
  xnn_operator_t op = nullptr;
  const xnn_status status = CreateOperator(weights, end - begin, source, provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (provider.asked > capacity) {
    return Error(StatusCode::kInternal,
                 "tensor %.200s: rows %zu to %zu pack into %zu bytes, not the %llu expected", name,
                 begin, end, provider.asked, static_cast<unsigned long long>(capacity));
  }
  return FromXnnpack(status, name, "pack");
}

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
  BlockProduct product;  // in the operator's place, if it has weights
};

LinearOperator::LinearOperator() = default;
LinearOperator::~LinearOperator() = default;

Status LinearOperator::Create(const char* name, const LinearWeights& weights, size_t begin,
                              size_t end, const uint16_t* unit_scales) {
  impl_.reset(new (std::nothrow) Impl(weights, begin, name));
  if (!impl_)
    return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate an operator", name);
  if (weights.block_tile != 0 &&
      PrefersBlockProduct(weights.block_tile, weights.in_features, weights.block_size)) {
    impl_->product.in_features = weights.in_features;
    impl_->product.block_size = weights.block_size;
    impl_->product.packed = impl_->provider.bytes;
    impl_->product.out_features = end - begin;
    impl_->product.output_stride = weights.out_features;
    return OkStatus();
  }
  RowSource source;
  source.scales = unit_scales;
  return FromXnnpack(CreateOperator(weights, end - begin, source, impl_->provider, &impl_->op),
                     name, "use");
}

Status LinearOperator::Prepare(size_t rows, const void* input, const RowQuantization* quantization,
                               float* output) {
  const auto* floats = static_cast<const float*>(input);
  const auto* codes = static_cast<const int8_t*>(input);
  const auto* params = reinterpret_cast<const xnn_quantization_params*>(quantization);
  if (BlockProduct& product = impl_->product; product.packed != nullptr) {
    product.rows = rows;
    product.codes = codes;
    product.quantization = quantization;
    product.output = output;
    return OkStatus();
  }
  const xnn_operator_t op = impl_->op;
  xnn_status status = xnn_status_invalid_parameter;
  switch (impl_->weights->format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      status = xnn_reshape_fully_connected_nc_f32(op, rows, nullptr);
      if (status == xnn_status_success)
        status = xnn_setup_fully_connected_nc_f32(op, floats, output);
      break;
    case WeightFormat::kInt8Channel:
      status = xnn_reshape_fully_connected_nc_qd8_f32_qc8w(op, rows, nullptr);
      if (status == xnn_status_success)
        status = xnn_setup_fully_connected_nc_qd8_f32_qc8w(op, codes, output, params);
      break;
    case WeightFormat::kInt4Block:
      status = xnn_reshape_fully_connected_nc_qd8_f32_qb4w(op, rows, nullptr);
      if (status == xnn_status_success)
        status = xnn_setup_fully_connected_nc_qd8_f32_qb4w(op, codes, output, params);
      break;
    case WeightFormat::kInt4Channel:
      status = xnn_reshape_fully_connected_nc_qd8_f32_qc4w(op, rows, nullptr);
      if (status == xnn_status_success)
        status = xnn_setup_fully_connected_nc_qd8_f32_qc4w(op, codes, output, params);
      break;
  }
  return FromXnnpack(status, impl_->name, "prepare");
}

Status LinearOperator::Run() {
  if (impl_->product.packed != nullptr) {
    MultiplyBlocks(impl_->product);
    return OkStatus();
  }
  return FromXnnpack(xnn_run_operator(impl_->op, nullptr), impl_->name, "run");
}

}  // namespace graft::runtime
