// SPDX-License-Identifier: Apache-2.0
// Graphs that take pictures are held to what keeps passes over images and tokens apart, and what a
// file says of pictures to the graph.
#include <string>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/schema/refusal.h"
#include "tests/support/picture_model.h"

namespace graft::schema {

using test::PictureModel;

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
    PictureModel area;
    area.layout = fb::PictureLayout::Area;
    area.most_patches = 16;
    area.fewest_pixels = 16;
    area.most_pixels = 64;
    area.axes = area.patch_axes = true;
    CHECK(MessageOf(area).empty());
  }

  TEST_CASE("graphs whose passes would not be two are refused") {
    CHECK_SPOILED_REFUSED(PictureModel, "takes no tensors by name", m.extra_tensor = true);
    CHECK_SPOILED_REFUSED(PictureModel, "patches of images need token ids",
                          m.patches_of_tokens = true);
    CHECK_SPOILED_REFUSED(PictureModel, "patches of images need token ids",
                          m.places_of_tokens = true);
    CHECK_SPOILED_REFUSED(PictureModel, "places of patches need the patches",
                          m.patches_role = fb::InputRole::Tensor);
    CHECK_SPOILED_REFUSED(PictureModel, "a dimension of their own", m.rows_of_tokens = true);
    CHECK_SPOILED_REFUSED(PictureModel, "a dimension of their own", m.rows_of_patches = true);
    CHECK_SPOILED_REFUSED(PictureModel, "as many by every such op", m.merges_twice = true);
    CHECK_SPOILED_REFUSED(PictureModel, "one row for each patch", m.merges_tokens = true);
    CHECK_SPOILED_REFUSED(PictureModel, "merges 0 patches", m.count = 0);
    CHECK_SPOILED_REFUSED(PictureModel, "a width of 32", m.merged_width = 16);
    CHECK_SPOILED_REFUSED(PictureModel, "nothing places them", m.has_place = false; m.runs = false);
    CHECK_SPOILED_REFUSED(PictureModel, "the only one to place them", m.places_twice = true);
    CHECK_SPOILED_REFUSED(PictureModel, "to have as many rows", m.places_patches = true);
    CHECK_SPOILED_REFUSED(PictureModel, "neither for tokens nor for output rows",
                          m.output_of_image = true);
    CHECK_SPOILED_REFUSED(PictureModel, "which need pictures and a causal op", m.causal = false);
  }

  TEST_CASE("what a file says of pictures is held to the graph") {
    CHECK_SPOILED_REFUSED(PictureModel, "pictures need a text-generation graph",
                          m.has_pictures = false);
    CHECK_SPOILED_REFUSED(PictureModel, "pictures need a text-generation graph",
                          m.task = fb::TaskKind::Tensors);
    CHECK_SPOILED_REFUSED(PictureModel, "token 64 of pictures is outside", m.token = 64);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.merge = 1);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.patch = 1; m.height = m.width = 4);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.side = 8; m.height = m.width = 16);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.side = 3; m.height = m.width = 6);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.width = 6);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.channels = 1);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.patch = 0);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.longest_side = 8);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.layout = fb::PictureLayout::Tiles);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.layout = fb::PictureLayout::Grid;
                          m.longest_side = 1 << 20);
    CHECK_SPOILED_REFUSED(
        PictureModel, "may become 16785409 images", m.layout = fb::PictureLayout::Tiles;
        m.longest_side = 1 << 14; m.height = m.width = 4; m.patch = 1; m.patch_width = 3);
    CHECK_SPOILED_REFUSED(PictureModel, "more patches than 4 a side",
                          m.layout = fb::PictureLayout::Grid;
                          m.longest_side = 9);
    CHECK_SPOILED_REFUSED(PictureModel, "which do not fit each other",
                          m.layout = fb::PictureLayout::Ratio);
    const auto* unsound = "which do not fit each other";
    CHECK_SPOILED_REFUSED(PictureModel, unsound, m.layout = fb::PictureLayout::Area);
    CHECK_SPOILED_REFUSED(PictureModel, unsound, m.layout = fb::PictureLayout::Area;
                          m.most_patches = 16; m.fewest_pixels = 65; m.most_pixels = 64);
    CHECK_SPOILED_REFUSED(PictureModel, unsound, m.layout = fb::PictureLayout::Area;
                          m.most_patches = 16; m.fewest_pixels = 16; m.most_pixels = 0xffffffffu);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.layout = fb::PictureLayout::Area;
                          m.most_patches = 17; m.fewest_pixels = 16; m.most_pixels = 64);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.frames = 2);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.frames = 0);
    CHECK_SPOILED_REFUSED(PictureModel, "of other sizes", m.frames = 0xffffffffu);
    CHECK_SPOILED_REFUSED(PictureModel, "a rope that turns by rows and columns of one",
                          m.layout = fb::PictureLayout::Tiles;
                          m.longest_side = 8; m.axes = true);
    CHECK_SPOILED_REFUSED(PictureModel, "has 2 axes", m.patch_axes = true; m.patch_axis = 0);
    CHECK_SPOILED_REFUSED(PictureModel, "pictures of layout 7",
                          m.layout = static_cast<fb::PictureLayout>(7));
    CHECK_SPOILED_REFUSED(PictureModel, "need a placeholder", m.placeholder = "");
    CHECK_SPOILED_REFUSED(PictureModel, "need a placeholder", m.token_text = "");
    CHECK_SPOILED_REFUSED(PictureModel, "has 300 bytes", m.begin = std::string(300, 'x'));
    CHECK_SPOILED_REFUSED(PictureModel, "deviations above 0", m.deviation = 0.0f);
  }
}

}  // namespace graft::schema
