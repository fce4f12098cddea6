// SPDX-License-Identifier: Apache-2.0
#include "schema/ops/verify_image_ops.h"

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <string>

#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::schema {
namespace {

Status CheckPatches(const OpChecker& op, const fb::ImageWindow& window) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  const Result<WindowPlaces> places = PlacesOf(window);
  if (!places.ok()) return op.OpError("%s", std::string(places.status().message()).c_str());
  const fb::Value& image = op.Input(0);
  if (image.shape()->size() == 3) {
    const int64_t expected[] = {window.channels(), window.height(), window.width()};
    for (uint32_t i = 0; i < 3; ++i) {
      const fb::Dimension& dimension = *image.shape()->Get(i);
      if (image.type() == fb::ElementType::Float32 && dimension.symbol() < 0 &&
          dimension.size() == expected[i]) {
        continue;
      }
      return op.OpError("needs %.100s to be f32 of [%u, %u, %u]", image.name()->c_str(),
                        window.channels(), window.height(), window.width());
    }
  } else {
    GRAFT_RETURN_IF_ERROR(
        op.ExpectFixedShape(image, int64_t{window.height()} * window.width(), window.channels()));
  }
  const int64_t kernel = int64_t{window.kernel_height()} * window.kernel_width();
  return op.ExpectFixedShape(op.Output(0), places->height * places->width,
                             kernel * window.channels());
}

Status CheckPoolPixels(const OpChecker& op, const fb::PoolPixels& pool) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  const fb::ImageWindow& window = *pool.window();
  const Result<WindowPlaces> places = PlacesOf(window);
  if (!places.ok()) return op.OpError("%s", std::string(places.status().message()).c_str());
  if (pool.kind() != fb::PoolKind::Mean && pool.kind() != fb::PoolKind::Max)
    return op.OpError("pools by %u; it must be Mean or Max", static_cast<unsigned>(pool.kind()));
  // Every window then holds a pixel.
  if (window.dilation_height() != 1 || window.dilation_width() != 1 ||
      2 * window.pad_height() > window.kernel_height() ||
      2 * window.pad_width() > window.kernel_width()) {
    return op.OpError("is dilated, or has a padding of more than half its window");
  }
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedShape(op.Input(0), int64_t{window.height()} * window.width(),
                                            window.channels()));
  return op.ExpectFixedShape(op.Output(0), places->height * places->width, window.channels());
}

Status CheckConvolution(const OpChecker& op, const fb::Convolution& convolution) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  const fb::ImageWindow& window = *convolution.window();
  const Result<WindowPlaces> places =
      PlacesOf(window, convolution.extra_height(), convolution.extra_width());
  if (!places.ok()) return op.OpError("%s", std::string(places.status().message()).c_str());
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* weight, op.MatrixAt(convolution.weight(), "weight"));
  const int64_t out_channels = weight->shape()->Get(0);
  const int64_t groups = convolution.groups();
  const int64_t kernel = int64_t{window.kernel_height()} * window.kernel_width();
  if (groups < 1 || window.channels() % groups != 0 || out_channels % groups != 0 ||
      out_channels > kMaxImageChannels ||
      weight->shape()->Get(1) != window.channels() / groups * kernel) {
    return op.OpError("has %u channels in %" PRId64 " groups under windows of %" PRId64
                      ", which its weight (%.100s) does not fit",
                      window.channels(), groups, kernel, weight->name()->c_str());
  }
  if (convolution.bias() != -1)
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(convolution.bias(), out_channels, "bias"));
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedShape(op.Input(0), int64_t{window.height()} * window.width(),
                                            window.channels()));
  const int64_t windows = places->height * places->width;
  if (static_cast<uint64_t>(windows) * static_cast<uint64_t>(out_channels) > kMaxImageElements)
    return op.OpError("makes an image of more than %" PRIu64 " numbers", kMaxImageElements);
  return op.ExpectFixedShape(op.Output(0), windows, out_channels);
}

Status CheckTakeRows(const OpChecker& op, const fb::TakeRows& take) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t rows = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(0), &rows, &width));
  for (const int32_t row : *take.rows()) {
    if (row < -1 || row >= rows) return op.OpError("takes row %d of %" PRId64, row, rows);
  }
  return op.ExpectFixedShape(op.Output(0), take.rows()->size(), width);
}

Status CheckRotate(const OpChecker& op, const fb::Rotate& rotate) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t rows = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(0), &rows, &width));
  const int64_t head_dim = rotate.head_dim();
  if (head_dim < 2 || head_dim > kMaxHeadDim || head_dim % 2 != 0 || width % head_dim != 0) {
    return op.OpError("has a width of %" PRId64 ", not a multiple of an even head_dim %" PRId64
                      " (at most %u)",
                      width, head_dim, kMaxHeadDim);
  }
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* angles, op.MatrixAt(rotate.angles(), "angles"));
  if (angles->format() != fb::TensorFormat::Float32 || angles->shape()->Get(0) != rows ||
      angles->shape()->Get(1) != head_dim / 2) {
    return op.OpError("needs its angles (%.100s) to be f32 of [%" PRId64 ", %" PRId64 "]",
                      angles->name()->c_str(), rows, head_dim / 2);
  }
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

Status CheckResizePixels(const OpChecker& op, const fb::ResizePixels& resize) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  for (const uint32_t side :
       {resize.height(), resize.width(), resize.out_height(), resize.out_width()}) {
    if (side < 1 || side > kMaxImageSide)
      return op.OpError("has a side of %u; 1 to %u are allowed", side, kMaxImageSide);
  }
  int64_t rows = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(0), &rows, &width));
  GRAFT_RETURN_IF_ERROR(
      op.ExpectFixedShape(op.Input(0), int64_t{resize.height()} * resize.width(), width));
  const int64_t out_rows = int64_t{resize.out_height()} * resize.out_width();
  if (static_cast<uint64_t>(out_rows) * static_cast<uint64_t>(width) > kMaxImageElements)
    return op.OpError("makes an image of more than %" PRIu64 " numbers", kMaxImageElements);
  return op.ExpectFixedShape(op.Output(0), out_rows, width);
}

Status CheckPlanes(const OpChecker& op) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t rows = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(0), &rows, &width));
  const fb::Value& out = op.Output(0);
  bool fits = out.type() == fb::ElementType::Float32 && out.shape()->size() == 3;
  for (uint32_t i = 0; fits && i < 3; ++i) fits = out.shape()->Get(i)->symbol() < 0;
  // A value's dimensions, and their product, are below 2^31.
  if (!fits || out.shape()->Get(0)->size() != width ||
      out.shape()->Get(1)->size() * out.shape()->Get(2)->size() != rows) {
    return op.OpError("needs %.100s to be f32 of [%" PRId64 ", height, width] of %" PRId64
                      " pixels",
                      out.name()->c_str(), width, rows);
  }
  return OkStatus();
}

}  // namespace

Status CheckBlocks(const OpChecker& op, const fb::Attention& attention) {
  const int64_t block = attention.block();
  const bool has_regions = attention.regions() != nullptr;
  if (block == 0 && !has_regions && attention.score_bias() == -1) return OkStatus();
  int64_t rows = 0;
  int64_t keys = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(0), &rows, &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(1), &keys, &width));
  if (op.input_count() != 3 || attention.kv_cache() != -1 || attention.causal() ||
      attention.window() != 0 || attention.position_tables() != nullptr ||
      (block != 0 && (keys != rows || rows % block != 0)) ||
      (has_regions && (block == 0 || attention.regions()->size() != rows))) {
    return op.OpError("has blocks of %" PRId64 " or regions, which %" PRId64
                      " rows without order, a multiple, can have",
                      block, rows);
  }
  if (attention.score_bias() == -1) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* bias, op.TensorAt(attention.score_bias(), "score_bias"));
  // Rows are below 2^31 and heads at most 2^16; the bytes of a tensor bound its elements.
  int64_t elements = 1;
  for (const int64_t size : *bias->shape()) elements *= size;
  int64_t expected = 0;
  if (bias->format() != fb::TensorFormat::Float32 ||
      __builtin_mul_overflow(block != 0 ? block * block : rows * keys, attention.heads(),
                             &expected) ||
      elements != expected) {
    return op.OpError("needs its score_bias (%.100s) to be f32 of a number for each head and pair",
                      bias->name()->c_str());
  }
  return OkStatus();
}

Status CheckImageKind(const OpChecker& op) {
  const fb::Op& kind = op.op();
  switch (kind.attributes_type()) {
    case fb::OpAttributes::Patches:
      return CheckPatches(op, *kind.attributes_as_Patches()->window());
    case fb::OpAttributes::PoolPixels:
      return CheckPoolPixels(op, *kind.attributes_as_PoolPixels());
    case fb::OpAttributes::Convolution:
      return CheckConvolution(op, *kind.attributes_as_Convolution());
    case fb::OpAttributes::TakeRows:
      return CheckTakeRows(op, *kind.attributes_as_TakeRows());
    case fb::OpAttributes::Rotate:
      return CheckRotate(op, *kind.attributes_as_Rotate());
    case fb::OpAttributes::ResizePixels:
      return CheckResizePixels(op, *kind.attributes_as_ResizePixels());
    case fb::OpAttributes::Planes:
      return CheckPlanes(op);
    default:
      return op.OpError("has no kind");
  }
}

}  // namespace graft::schema
