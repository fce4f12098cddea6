// SPDX-License-Identifier: Apache-2.0
// Ops over images and over fixed rows are held to their rules, whatever a file says.
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::Fixed;
using test::ModelBuilder;

// An image of 6 x 4 with 4 channels, convolved to 2 x 2 of 6; rows taken, rotated, resized to 3 x 5,
// attended to in blocks of 5, and turned into planes.
struct Ops {
  fb::ImageWindow window = {4, 6, 4, 3, 3, 2, 2, 0, 0, 1, 1};
  uint32_t groups = 2, extra_height = 0, extra_width = 1;
  int64_t weight_width = 18, bias = 6, places = 4, out_channels = 6;
  std::vector<int32_t> rows = {3, -1, 0, 1};
  int64_t angle_rows = 4, angle_width = 3;
  uint32_t head_dim = 6;
  uint32_t resize_height = 2, resize_to = 3;
  uint32_t block = 5;
  size_t regions = 15;
  int64_t score_bias = 50;
  bool causal = false, position_tables = false;
  int64_t plane_height = 3;
};

Status Check(const Ops& o) {
  ModelBuilder model;
  auto& b = model.builder();
  const std::vector<float> numbers(1000, 0.5f);
  const auto tensor = [&](const char* name, std::vector<int64_t> shape) {
    size_t elements = 1;
    for (const int64_t size : shape) elements *= static_cast<size_t>(size);
    return model.FloatTensor(name, std::move(shape), std::span(numbers).first(elements));
  };
  const auto op = [&](int32_t input, ModelBuilder::Dimensions shape, fb::OpAttributes kind,
                      flatbuffers::Offset<void> attributes) {
    const std::string name = fb::EnumNameOpAttributes(kind);
    const int32_t out = model.Value(name, std::move(shape));
    const bool attends = kind == fb::OpAttributes::Attention;
    model.Op(name,
             attends ? std::vector<int32_t>{input, input, input} : std::vector<int32_t>{input},
             {out}, kind, attributes);
    return out;
  };
  const int32_t weight = tensor("kernels", {6, o.weight_width});
  const int32_t bias = tensor("bias", {o.bias});
  const int32_t angles = tensor("angles", {o.angle_rows, o.angle_width});
  const int32_t score_bias = tensor("scores", {o.score_bias});
  int32_t x =
      model.Input("pixels", {Fixed(24), Fixed(4)}, fb::InputRole::Tensor, fb::ElementType::Float32);
  x = op(x, {Fixed(o.places), Fixed(o.out_channels)}, fb::OpAttributes::Convolution,
         fb::CreateConvolution(b, &o.window, weight, bias, o.groups, o.extra_height, o.extra_width)
             .Union());
  const auto rows = b.CreateVector(o.rows);
  x = op(x, {Fixed(4), Fixed(6)}, fb::OpAttributes::TakeRows, fb::CreateTakeRows(b, rows).Union());
  x = op(x, {Fixed(4), Fixed(6)}, fb::OpAttributes::Rotate,
         fb::CreateRotate(b, angles, o.head_dim).Union());
  x = op(x, {Fixed(15), Fixed(6)}, fb::OpAttributes::ResizePixels,
         fb::CreateResizePixels(b, o.resize_height, 2, o.resize_to, 5).Union());
  const auto regions = b.CreateVector(std::vector<uint8_t>(o.regions));
  const auto tables = fb::CreatePositionTables(b);
  fb::AttentionBuilder attention(b);
  attention.add_heads(2);
  attention.add_kv_heads(2);
  attention.add_head_dim(3);
  attention.add_scale(1.0f);
  attention.add_score_bias(score_bias);
  attention.add_block(o.block);
  attention.add_causal(o.causal);
  if (o.position_tables) attention.add_position_tables(tables);
  if (o.regions > 0) attention.add_regions(regions);
  x = op(x, {Fixed(15), Fixed(6)}, fb::OpAttributes::Attention, attention.Finish().Union());
  x = op(x, {Fixed(6), Fixed(o.plane_height), Fixed(5)}, fb::OpAttributes::Planes,
         fb::CreatePlanes(b).Union());
  model.Output(x);
  const test::AlignedBytes file = model.Finish();
  return Verify(file.span()).status();
}

#define CHECK_REFUSED(needle, ...)                                                 \
  do {                                                                             \
    Ops o;                                                                         \
    __VA_ARGS__;                                                                   \
    const Status status = Check(o);                                                \
    CHECK_MESSAGE(std::string(status.message()).find(needle) != std::string::npos, \
                  std::string(status.message()));                                  \
  } while (false)

TEST_SUITE("schema/image_ops") {
  TEST_CASE("accepts what fits together") {
    const Status status = Check(Ops());
    CHECK_MESSAGE(status.ok(), std::string(status.message()));
  }

  TEST_CASE("a convolution's kernels fit its channels, groups and places") {
    CHECK_REFUSED("which its weight (kernels) does not fit", o.groups = 0);
    CHECK_REFUSED("which its weight (kernels) does not fit", o.groups = 3);
    CHECK_REFUSED("which its weight (kernels) does not fit", o.weight_width = 36);
    CHECK_REFUSED("to be f32 of [6]", o.bias = 5);
    CHECK_REFUSED("needs Convolution to be [4, 6]", o.places = 2);
    CHECK_REFUSED("needs Convolution to be [4, 6]", o.out_channels = 4);
    CHECK_REFUSED("has a padding of 3 along the width", o.extra_width = 3);
    CHECK_REFUSED("has a padding of 4294967295 along the height",
                  o.extra_height = std::numeric_limits<uint32_t>::max());
    CHECK_REFUSED("needs pixels to be [20, 4]", o.window = {4, 5, 4, 3, 3, 2, 2, 0, 0, 1, 1});
  }

  TEST_CASE("windows that lie far outside are more numbers than an image may have") {
    const uint32_t side = 1 << 14;
    CHECK_REFUSED("of more than 268435456 numbers",
                  o.window = {1 << 16, side, side, side, side, 1, 1, (1 << 28) - (1 << 15),
                              (1 << 28) - (1 << 15), side, side},
                  o.groups = 1, o.extra_width = 0);
  }

  TEST_CASE("rows are taken of those there are") {
    CHECK_REFUSED("takes row 4 of 4", o.rows = {0, 1, 2, 4});
    CHECK_REFUSED("takes row -2 of 4", o.rows = {0, 1, 2, -2});
    CHECK_REFUSED("needs TakeRows to be [3, 6]", o.rows = {0, 1, 2});
  }

  TEST_CASE("angles are as many as rows and half of a head") {
    CHECK_REFUSED("needs its angles (angles) to be f32 of [4, 3]", o.angle_rows = 3);
    CHECK_REFUSED("needs its angles (angles) to be f32 of [4, 3]", o.angle_width = 2);
    CHECK_REFUSED("not a multiple of an even head_dim", o.head_dim = 5);
    CHECK_REFUSED("not a multiple of an even head_dim", o.head_dim = 0);
    CHECK_REFUSED("not a multiple of an even head_dim", o.head_dim = 4);
  }

  TEST_CASE("an image that is resized is the one there is") {
    CHECK_REFUSED("needs Rotate to be [6, 6]", o.resize_height = 3);
    CHECK_REFUSED("has a side of 0", o.resize_height = 0);
    CHECK_REFUSED("has a side of 100000", o.resize_to = 100000);
    CHECK_REFUSED("needs ResizePixels to be [20, 6]", o.resize_to = 4);
  }

  TEST_CASE("blocks divide the rows, which have no order") {
    CHECK_REFUSED("has blocks of 4 or regions", o.block = 4);
    CHECK_REFUSED("has blocks of 5 or regions", o.regions = 14);
    CHECK_REFUSED("has blocks of 0 or regions", o.block = 0);
    CHECK_REFUSED("needs its score_bias (scores) to be f32 of a number for each head and pair",
                  o.score_bias = 49);
    CHECK_REFUSED("needs its score_bias (scores) to be f32 of a number for each head and pair",
                  o.block = 0, o.regions = 0);
    CHECK_REFUSED("needs positions for that", o.causal = true);
    CHECK_REFUSED("has blocks of 5 or regions", o.position_tables = true);
  }

  TEST_CASE("planes are as many pixels as there are") {
    CHECK_REFUSED("[6, height, width] of 15 pixels", o.plane_height = 4);
  }
}

}  // namespace
}  // namespace graft::schema
