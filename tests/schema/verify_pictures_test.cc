// SPDX-License-Identifier: Apache-2.0
// Graphs that take pictures are held to what keeps passes over images and tokens apart, and what a
// file says of pictures to the graph.
#include <string>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/support/picture_model.h"

namespace graft::schema {
namespace {

using test::PictureModel;

std::string MessageOf(const PictureModel& model) {
  const auto bytes = model.Build();
  const auto verified = Verify(bytes.span());
  return verified.ok() ? "" : std::string(verified.status().message());
}

#define CHECK_PICTURES_REFUSED(message, ...)           \
  do {                                                 \
    PictureModel m;                                    \
    __VA_ARGS__;                                       \
    const std::string refused = MessageOf(m);          \
    CAPTURE(refused);                                  \
    CHECK(refused.find(message) != std::string::npos); \
  } while (false)

}  // namespace

TEST_SUITE("schema/verify_pictures") {
  TEST_CASE("what is right is accepted, and facts say so") {
    const auto bytes = PictureModel().Build();
    const auto verified = Verify(bytes.span());
    REQUIRE_MESSAGE(verified.ok(), verified.status().message());
    CHECK(verified->facts().image_patches != nullptr);
    CHECK(verified->facts().merged_patches == 4);
    CHECK(verified->facts().image_positions == 16);
    CHECK(verified->facts().positions == 0);
    CHECK(verified->facts().has_image_runs);
    PictureModel mean;
    mean.mean = true;
    mean.merged_width = 8;
    mean.runs = false;
    CHECK(MessageOf(mean).empty());
  }

  TEST_CASE("graphs whose passes would not be two are refused") {
    CHECK_PICTURES_REFUSED("takes no tensors by name", m.extra_tensor = true);
    CHECK_PICTURES_REFUSED("patches of images need token ids", m.patches_of_tokens = true);
    CHECK_PICTURES_REFUSED("patches of images need token ids", m.places_of_tokens = true);
    CHECK_PICTURES_REFUSED("places of patches need the patches",
                           m.patches_role = fb::InputRole::Tensor);
    CHECK_PICTURES_REFUSED("a dimension of their own", m.rows_of_tokens = true);
    CHECK_PICTURES_REFUSED("a dimension of their own", m.rows_of_patches = true);
    CHECK_PICTURES_REFUSED("as many by every such op", m.merges_twice = true);
    CHECK_PICTURES_REFUSED("one row for each patch", m.merges_tokens = true);
    CHECK_PICTURES_REFUSED("merges 0 patches", m.count = 0);
    CHECK_PICTURES_REFUSED("a width of 32", m.merged_width = 16);
    CHECK_PICTURES_REFUSED("nothing places them", m.has_place = false; m.runs = false);
    CHECK_PICTURES_REFUSED("the only one to place them", m.places_twice = true);
    CHECK_PICTURES_REFUSED("to have as many rows", m.places_patches = true);
    CHECK_PICTURES_REFUSED("neither for tokens nor for output rows", m.output_of_image = true);
    CHECK_PICTURES_REFUSED("which need pictures and a causal op", m.causal = false);
  }

  TEST_CASE("what a file says of pictures is held to the graph") {
    CHECK_PICTURES_REFUSED("pictures need a text-generation graph", m.has_pictures = false);
    CHECK_PICTURES_REFUSED("pictures need a text-generation graph", m.task = fb::TaskKind::Tensors);
    CHECK_PICTURES_REFUSED("token 64 of pictures is outside", m.token = 64);
    CHECK_PICTURES_REFUSED("of other sizes", m.merge = 1);
    CHECK_PICTURES_REFUSED("of other sizes", m.patch = 1; m.height = m.width = 4);
    CHECK_PICTURES_REFUSED("of other sizes", m.side = 8; m.height = m.width = 16);
    CHECK_PICTURES_REFUSED("of other sizes", m.side = 3; m.height = m.width = 6);
    CHECK_PICTURES_REFUSED("of other sizes", m.width = 6);
    CHECK_PICTURES_REFUSED("of other sizes", m.channels = 1);
    CHECK_PICTURES_REFUSED("of other sizes", m.patch = 0);
    CHECK_PICTURES_REFUSED("of other sizes", m.longest_side = 8);
    CHECK_PICTURES_REFUSED("of other sizes", m.layout = fb::PictureLayout::Tiles);
    CHECK_PICTURES_REFUSED("of other sizes", m.layout = fb::PictureLayout::Grid;
                           m.longest_side = 1 << 20);
    CHECK_PICTURES_REFUSED("may become 16785409 images", m.layout = fb::PictureLayout::Tiles;
                           m.longest_side = 1 << 14; m.height = m.width = 4; m.patch = 1;
                           m.patch_width = 3);
    CHECK_PICTURES_REFUSED("more patches than 4 a side", m.layout = fb::PictureLayout::Grid;
                           m.longest_side = 9);
    CHECK_PICTURES_REFUSED("which do not fit each other", m.layout = fb::PictureLayout::Ratio);
    CHECK_PICTURES_REFUSED("pictures of layout 7", m.layout = static_cast<fb::PictureLayout>(7));
    CHECK_PICTURES_REFUSED("need a placeholder", m.placeholder = "");
    CHECK_PICTURES_REFUSED("need a placeholder", m.token_text = "");
    CHECK_PICTURES_REFUSED("has 300 bytes", m.begin = std::string(300, 'x'));
    CHECK_PICTURES_REFUSED("deviations above 0", m.deviation = 0.0f);
  }
}

}  // namespace graft::schema
