// SPDX-License-Identifier: Apache-2.0
// The rules of graphs that take several texts, of graphs that take an image, and of their tasks.
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

constexpr int64_t kWidth = 8;

// An encoder of texts: tables, attention within each text, one row for each. A test may spoil it.
struct Texts {
  bool types_without_ends = false, ends_of_tokens = false, extra_tensor_input = false;
  int32_t kv_cache = -1;
  bool causal = false, ends_as_index = false, pools_inputs_of_texts = false;
  uint32_t window = 0;
  fb::PoolKind pool = fb::PoolKind::Mean;
  int32_t pool_index = 0;
  fb::TaskKind task = fb::TaskKind::Embedding;
};

Status CheckTexts(const Texts& t) {
  ModelBuilder model;
  auto& b = model.builder();
  const auto tokens = Symbolic(model.Symbol("sequence"));
  const auto texts = t.ends_of_tokens ? tokens : Symbolic(model.Symbol("texts"));
  const int32_t ids = model.Input("ids", {tokens}, fb::InputRole::TokenIds);
  const int32_t types = model.Input("types", {tokens}, fb::InputRole::TokenTypes);
  const int32_t ends = model.Input(
      "ends", {texts}, t.types_without_ends ? fb::InputRole::OutputRows : fb::InputRole::TextEnds);
  if (t.extra_tensor_input) model.Input("extra", {tokens}, fb::InputRole::Tensor);
  const std::vector<float> numbers(5 * kWidth, 0.5f);
  model.FloatTensor("table", {5, kWidth}, numbers);
  model.FloatTensor("types", {2, kWidth}, std::span(numbers).first(2 * kWidth));

  const int32_t x = model.Value("x", {tokens, Fixed(kWidth)});
  const int32_t y = model.Value("y", {tokens, Fixed(kWidth)});
  const int32_t sum = model.Value("sum", {tokens, Fixed(kWidth)});
  const int32_t attended = model.Value("attended", {tokens, Fixed(kWidth)});
  const int32_t pooled = model.Value("pooled", {texts, Fixed(kWidth)});
  model.Op("words", {t.ends_as_index ? ends : ids}, {x}, fb::OpAttributes::Embedding,
           fb::CreateEmbedding(b, 0).Union());
  model.Op("types", {types}, {y}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, 1).Union());
  model.Op("add", {x, y}, {sum}, fb::OpAttributes::Add, fb::CreateAdd(b).Union());
  model.Op("attention", {sum, sum, sum, ends}, {attended}, fb::OpAttributes::Attention,
           fb::CreateAttention(b, 2, 2, 4, 0.5f, 0.0f, t.window, t.kv_cache, t.causal).Union());
  model.Op("pool", {attended, t.pools_inputs_of_texts ? types : ends}, {pooled},
           fb::OpAttributes::PoolRows, fb::CreatePoolRows(b, t.pool, t.pool_index).Union());
  model.Output(pooled);
  model.SetTask(t.task, 64, {});
  const test::AlignedBytes file = model.Finish();
  return Verify(file.span()).status();
}

// An image of 3 x 6 x 4, cut into windows, pooled, with a constant row before it.
struct Image {
  uint32_t channels = 3, height = 6, kernel_height = 2, stride_width = 2, pad_width = 0;
  fb::ImageWindow pool = {5, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1};
  fb::PoolKind pool_kind = fb::PoolKind::Max;
  int64_t patch_width = 12, pooled_rows = 12, all_rows = 13, constant_elements = 5;
  int32_t row = 12, constant = 1;
  // How images of any size become the input.
  uint32_t task_channels = 3, task_width = 4, resize_height = 8, resize_width = 0;
  uint8_t filter = 2;
  float rescale = 0.5f;
  std::vector<float> mean = {0, 1, -1}, deviation = {1, 2, 3};
};

Status CheckImage(const Image& i) {
  ModelBuilder model;
  auto& b = model.builder();
  const int32_t pixels = model.Input("pixels", {Fixed(3), Fixed(6), Fixed(4)},
                                     fb::InputRole::Tensor, fb::ElementType::Float32);
  const fb::ImageWindow window = {
      i.channels, i.height, 4, i.kernel_height, 2, 2, i.stride_width, 0, i.pad_width, 1, 1};
  const std::vector<float> numbers(60, 0.5f);
  model.FloatTensor("kernels", {5, 12}, numbers);
  model.FloatTensor("first", {1, i.constant_elements},
                    std::span(numbers).first(static_cast<size_t>(i.constant_elements)));
  const int32_t patches = model.Value("patches", {Fixed(6), Fixed(i.patch_width)});
  const int32_t channels = model.Value("channels", {Fixed(6), Fixed(5)});
  const int32_t pooled = model.Value("pooled", {Fixed(i.pooled_rows), Fixed(5)});
  const int32_t first = model.Value("first", {Fixed(1), Fixed(5)});
  const int32_t all = model.Value("all", {Fixed(i.all_rows), Fixed(5)});
  const int32_t out = model.Value("out", {Fixed(1), Fixed(5)});
  model.Op("patches", {pixels}, {patches}, fb::OpAttributes::Patches,
           fb::CreatePatches(b, &window).Union());
  model.Op("linear", {patches}, {channels}, fb::OpAttributes::Linear,
           fb::CreateLinear(b, 0).Union());
  model.Op("pool", {channels}, {pooled}, fb::OpAttributes::PoolPixels,
           fb::CreatePoolPixels(b, &i.pool, i.pool_kind).Union());
  model.Op("first", {}, {first}, fb::OpAttributes::Constant,
           fb::CreateConstant(b, i.constant).Union());
  model.Op("all", {first, pooled}, {all}, fb::OpAttributes::ConcatenateRows,
           fb::CreateConcatenateRows(b).Union());
  model.Op("row", {all}, {out}, fb::OpAttributes::PoolRows,
           fb::CreatePoolRows(b, fb::PoolKind::Row, i.row).Union());
  model.Output(out);
  model.SetTask(fb::TaskKind::Classification, 0, {});
  const auto mean = b.CreateVector(i.mean);
  const auto deviation = b.CreateVector(i.deviation);
  model.SetImage(fb::CreateImageInput(b, i.task_channels, 6, i.task_width, i.resize_height,
                                      i.resize_width, static_cast<fb::ImageFilter>(i.filter),
                                      i.rescale, mean, deviation));
  const test::AlignedBytes file = model.Finish();
  return Verify(file.span()).status();
}

#define CHECK_TEXTS_REFUSED(needle, ...)                                           \
  do {                                                                             \
    Texts t;                                                                       \
    __VA_ARGS__;                                                                   \
    const Status status = CheckTexts(t);                                           \
    CHECK_MESSAGE(std::string(status.message()).find(needle) != std::string::npos, \
                  std::string(status.message()));                                  \
  } while (false)

#define CHECK_IMAGE_REFUSED(needle, ...)                                           \
  do {                                                                             \
    Image i;                                                                       \
    __VA_ARGS__;                                                                   \
    const Status status = CheckImage(i);                                           \
    CHECK_MESSAGE(std::string(status.message()).find(needle) != std::string::npos, \
                  std::string(status.message()));                                  \
  } while (false)

TEST_SUITE("schema/encoders") {
  TEST_CASE("accepts an encoder of texts, and one of images") {
    const Status texts = CheckTexts(Texts());
    CHECK_MESSAGE(texts.ok(), std::string(texts.message()));
    const Status image = CheckImage(Image());
    CHECK_MESSAGE(image.ok(), std::string(image.message()));
  }

  TEST_CASE("texts have ends of their own, and nothing beside them") {
    CHECK_TEXTS_REFUSED("token types need ends of texts", t.types_without_ends = true);
    CHECK_TEXTS_REFUSED("a dimension of their own", t.ends_of_tokens = true);
    CHECK_TEXTS_REFUSED("takes nothing but texts, but extra", t.extra_tensor_input = true);
    CHECK_TEXTS_REFUSED("role TokenIds, Positions or TokenTypes", t.ends_as_index = true);
    CHECK_TEXTS_REFUSED("role TextEnds", t.pools_inputs_of_texts = true);
  }

  TEST_CASE("attention within texts may look back only, but keeps nothing") {
    Texts ordered;
    ordered.causal = true;
    ordered.window = 4;
    const Status status = CheckTexts(ordered);
    CHECK_MESSAGE(status.ok(), std::string(status.message()));
    CHECK_TEXTS_REFUSED("needs positions for that", t.kv_cache = 0);
  }

  TEST_CASE("a text's row is its first or its last") {
    CHECK_TEXTS_REFUSED("takes row 1 of as few as 1", t.pool_index = 1);
    CHECK_TEXTS_REFUSED("takes row -2 of as few as 1", t.pool_index = -2);
    CHECK_TEXTS_REFUSED("pools by 9", t.pool = static_cast<fb::PoolKind>(9));
  }

  TEST_CASE("a task's outputs are what it promises") {
    CHECK_TEXTS_REFUSED("one row for each token", t.task = fb::TaskKind::TokenClassification);
    CHECK_TEXTS_REFUSED("f32 logits of [output rows, vocabulary]",
                        t.task = fb::TaskKind::TextGeneration);
  }

  TEST_CASE("windows lie in their image, and rows add up") {
    CHECK_IMAGE_REFUSED("has 0 channels", i.channels = 0);
    CHECK_IMAGE_REFUSED("each must be 1 to", i.stride_width = 0);
    CHECK_IMAGE_REFUSED("each must be 1 to", i.height = 100000);
    CHECK_IMAGE_REFUSED("has a window that spans 7 of a height of 6", i.kernel_height = 7);
    CHECK_IMAGE_REFUSED("has a padding of 2 along the width, but its window spans 2",
                        i.pad_width = 2);
    CHECK_IMAGE_REFUSED("needs pixels to be f32 of [4, 6, 4]", i.channels = 4);
    CHECK_IMAGE_REFUSED("needs patches to be [6, 12], it is [6, 11]", i.patch_width = 11);
    CHECK_IMAGE_REFUSED("must be Mean or Max", i.pool_kind = fb::PoolKind::Row);
    CHECK_IMAGE_REFUSED("needs pooled to be [12, 5]", i.pooled_rows = 11);
    CHECK_IMAGE_REFUSED("needs all to be [13, 5]", i.all_rows = 14);
    CHECK_IMAGE_REFUSED("takes row 13 of as few as 13", i.row = 13);
    CHECK_IMAGE_REFUSED("f32 of 5 numbers", i.constant_elements = 6);
    CHECK_IMAGE_REFUSED("has tensor 7 of 2", i.constant = 7);
  }

  TEST_CASE("how images are prepared has numbers that mean something, and the size of the input") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    CHECK_IMAGE_REFUSED("1 or 3 channels", i.task_channels = 2);
    CHECK_IMAGE_REFUSED("at most 16384 pixels a side", i.task_width = 0);
    CHECK_IMAGE_REFUSED("at most 16384 pixels a side", i.resize_height = 100000);
    CHECK_IMAGE_REFUSED("at most 16384 pixels a side", i.resize_height = 0, i.resize_width = 9);
    CHECK_IMAGE_REFUSED("only input must be f32 [channels, height, width]", i.task_width = 5);
    CHECK_IMAGE_REFUSED("image filter 4, which this build does not know", i.filter = 4);
    CHECK_IMAGE_REFUSED("rescale is not finite", i.rescale = kInfinity);
    CHECK_IMAGE_REFUSED("must have 3 finite numbers", i.mean = {0, 1});
    CHECK_IMAGE_REFUSED("must have 3 finite numbers", i.mean = {0, 1, kInfinity});
    CHECK_IMAGE_REFUSED("deviations above 0", i.deviation = {1, 0, 1});
    Image bare;
    bare.mean = bare.deviation = {};
    CHECK(CheckImage(bare).ok());
  }
}

}  // namespace
}  // namespace graft::schema
