// SPDX-License-Identifier: Apache-2.0
#include "schema/ops/verify_pictures.h"

#include <cinttypes>
#include <cmath>
#include <cstdint>

#include "schema/generated/model_generated.h"
#include "schema/image_window.h"
#include "schema/op_checker.h"
#include "schema/verify_task.h"

namespace graft::schema {
namespace {

constexpr uint32_t kMaxMergedPatches = 1 << 10;
constexpr uint32_t kMaxFrames = 16;
constexpr uint32_t kMaxStringBytes = 256;
constexpr uint64_t kMaxPixels = uint64_t{kMaxImageSide} * kMaxImageSide;

// Image rows are a dimension of their own, and as many for all.
Status CheckMergePatches(OpChecker& op, const fb::MergePatches& merge) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  GraphFacts& facts = op.facts();
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectPatchRows(op.Input(0)));
  if (merge.count() < 1 || merge.count() > kMaxMergedPatches ||
      (facts.merged_patches != 0 && facts.merged_patches != merge.count())) {
    return op.OpError("merges %u patches; 1 to %u are allowed, and as many by every such op",
                      merge.count(), kMaxMergedPatches);
  }
  const fb::Value& out = op.Output(0);
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(out, merge.mean() ? width : width * merge.count()));
  const bool is_own = out.shape()->Get(0)->symbol() >= 0 &&
                      !op.HasRowsOf(out, fb::InputRole::TokenIds) &&
                      !op.HasRowsOf(out, fb::InputRole::OutputRows) &&
                      !op.HasRowsOf(out, fb::InputRole::ImagePatches);
  if (!is_own) return op.OpError("needs image rows to have a dimension of their own");
  if (facts.image_rows != nullptr) GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(out, *facts.image_rows));
  facts.image_rows = &out;
  facts.merged_patches = merge.count();
  return OkStatus();
}

Status CheckPlaceImages(OpChecker& op) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(2, 1));
  GraphFacts& facts = op.facts();
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectTokenRows());
  if (facts.image_rows == nullptr || facts.places_images)
    return op.OpError("needs image rows, and to be the only one to place them");
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(1), width));
  GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(1), *facts.image_rows));
  facts.places_images = true;
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

// The rows of the table are looked up by the image's own sides, whatever the numbers of places are.
Status CheckGridPositions(const OpChecker& op, const fb::GridPositions& grid) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  GRAFT_RETURN_IF_ERROR(op.ExpectOrigin(0, Origin::kImagePositions, "ImagePositions"));
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* table, op.MatrixAt(grid.table(), "table"));
  const int64_t side = grid.side();
  if (table->format() != fb::TensorFormat::Float32 || side < 1 || side > kMaxImageSide ||
      table->shape()->Get(0) != side * side) {
    return op.OpError("needs its table (%.100s) to be f32 of a square of %u positions a side",
                      table->name()->c_str(), grid.side());
  }
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), table->shape()->Get(1)));
  return op.ExpectSameRows(op.Input(0), op.Output(0));
}

// The numbers of a layout by rows and tiles.
bool IsRatioSound(const fb::Pictures& pictures) {
  const uint64_t merged = uint64_t{pictures.merge()} * pictures.merge();
  const uint64_t block = uint64_t{pictures.merge()} * pictures.patch();
  const uint64_t tile = pictures.tile_side();
  const uint64_t patches = pictures.most_patches();
  const bool has_tiles = pictures.most_tiles() > 0;
  return std::isfinite(pictures.tolerance()) && pictures.tolerance() > 0.0f &&
         pictures.fewest_rows() >= 1 && pictures.most_rows() >= pictures.fewest_rows() &&
         pictures.most_rows() * merged <= patches &&
         uint64_t{pictures.most_rows()} * pictures.merge() <= pictures.side() &&
         (!has_tiles ||
          (pictures.fewest_tiles() >= 1 && pictures.fewest_tiles() <= pictures.most_tiles() &&
           pictures.most_tiles() < kMaxTiles && tile >= block && tile % block == 0 &&
           tile <= pictures.image()->height() &&
           tile * tile * pictures.most_tiles() <= kMaxPixels &&
           tile / block * (tile / block) * merged <= patches));
}

// The numbers of a layout by pixels.
bool IsAreaSound(const fb::Pictures& pictures) {
  return pictures.fewest_pixels() >= 1 && pictures.most_pixels() >= pictures.fewest_pixels() &&
         pictures.most_pixels() <= kMaxPixels && pictures.most_patches() >= 1;
}

Status CheckStrings(const fb::Pictures& pictures) {
  if (pictures.placeholder()->size() == 0 || pictures.token_text()->size() == 0)
    return Error(StatusCode::kCorrupt, "pictures need a placeholder and a token's text");
  for (const auto* text :
       {pictures.placeholder(), pictures.token_text(), pictures.begin(), pictures.end(),
        pictures.row_break(), pictures.tile_begin(), pictures.tile_row_end(),
        pictures.whole_begin(), pictures.single_begin()}) {
    if (text == nullptr || text->size() <= kMaxStringBytes) continue;
    return Error(StatusCode::kCorrupt,
                 "a text around pictures has %u bytes; at most %u are allowed", text->size(),
                 kMaxStringBytes);
  }
  return OkStatus();
}

// Whether the numbers of patches, sides and pixels belong together.
bool IsConsistent(const fb::Pictures& pictures, const GraphFacts& facts) {
  const fb::ImageInput& image = *pictures.image();
  const uint64_t patch = pictures.patch();
  const uint64_t merge = pictures.merge();
  const uint64_t side = pictures.side();
  if (patch < 1 || patch > kMaxImageSide || merge < 1 || merge > kMaxMergedPatches || side < 1 ||
      side > kMaxImageSide || merge * merge != facts.merged_patches || side % merge != 0 ||
      pictures.frames() < 1 || pictures.frames() > kMaxFrames) {
    return false;
  }
  const auto width = static_cast<uint64_t>(facts.image_patches->shape()->Get(1)->size());
  const uint64_t longest = pictures.longest_side();
  const bool has_longest =
      pictures.layout() == fb::PictureLayout::Tiles || pictures.layout() == fb::PictureLayout::Grid;
  return width == patch * patch * image.channels() * pictures.frames() &&
         image.height() == side * patch && image.width() == side * patch &&
         (facts.image_positions == 0 || side * side <= facts.image_positions) &&
         pictures.most_patches() <= side * side &&
         (!has_longest ? longest == 0 : longest >= 1 && longest <= kMaxImageSide);
}

// What a layout needs of its numbers.
Status CheckLayout(const fb::Pictures& pictures, const GraphFacts& facts) {
  const uint64_t tiles = pictures.longest_side() / pictures.image()->height() + 1;
  if (pictures.layout() == fb::PictureLayout::Tiles && tiles * tiles > kMaxTiles) {
    return Error(StatusCode::kCorrupt,
                 "a picture may become %" PRIu64
                 " images; at most %u are "
                 "allowed",
                 tiles * tiles, kMaxTiles);
  }
  if (pictures.layout() == fb::PictureLayout::Ratio && !IsRatioSound(pictures)) {
    return Error(
        StatusCode::kCorrupt,
        "pictures of %u to %u rows, or %u to %u tiles of %u pixels a side, in images of at "
        "most %u patches, which do not fit each other",
        pictures.fewest_rows(), pictures.most_rows(), pictures.fewest_tiles(),
        pictures.most_tiles(), pictures.tile_side(), pictures.most_patches());
  }
  const bool may_be_cut =
      pictures.layout() == fb::PictureLayout::Tiles ||
      (pictures.layout() == fb::PictureLayout::Ratio && pictures.most_tiles() > 0);
  if (facts.has_axes && may_be_cut) {
    return Error(StatusCode::kCorrupt,
                 "pictures of several images, and a rope that turns by rows and columns of one");
  }
  if (pictures.layout() == fb::PictureLayout::Area && !IsAreaSound(pictures)) {
    return Error(StatusCode::kCorrupt,
                 "pictures of %u to %u pixels, in images of at most %u patches, which do not fit "
                 "each other",
                 pictures.fewest_pixels(), pictures.most_pixels(), pictures.most_patches());
  }
  if (pictures.layout() == fb::PictureLayout::Grid &&
      uint64_t{pictures.longest_side()} > uint64_t{pictures.side()} * pictures.patch()) {
    return Error(StatusCode::kCorrupt,
                 "pictures of %u pixels a side have more patches than %u a "
                 "side",
                 pictures.longest_side(), pictures.side());
  }
  return OkStatus();
}

}  // namespace

Status CheckPictureKind(OpChecker& op) {
  const fb::Op& kind = op.op();
  if (const auto* merge = kind.attributes_as_MergePatches()) return CheckMergePatches(op, *merge);
  if (const auto* grid = kind.attributes_as_GridPositions()) return CheckGridPositions(op, *grid);
  return CheckPlaceImages(op);
}

Status CheckPictures(const fb::Model& model, const GraphFacts& facts) {
  const fb::Pictures* pictures = model.task()->pictures();
  const bool takes_any =
      facts.image_patches != nullptr && model.task()->kind() == fb::TaskKind::TextGeneration;
  if ((pictures != nullptr) != takes_any || (facts.image_patches != nullptr) != takes_any) {
    return Error(StatusCode::kCorrupt,
                 "pictures need a text-generation graph that takes patches, and such a graph them");
  }
  if (pictures == nullptr) return OkStatus();
  if (pictures->layout() > fb::PictureLayout::MAX) {
    return Error(StatusCode::kUnsupported, "pictures of layout %u, which this build does not know",
                 static_cast<unsigned>(pictures->layout()));
  }
  GRAFT_RETURN_IF_ERROR(CheckImageSettings(*pictures->image()));
  GRAFT_RETURN_IF_ERROR(CheckStrings(*pictures));
  if (pictures->token() >= facts.vocabulary) {
    return Error(StatusCode::kCorrupt, "token %u of pictures is outside the vocabulary of %" PRIu64,
                 pictures->token(), facts.vocabulary);
  }
  if (!IsConsistent(*pictures, facts)) {
    return Error(StatusCode::kCorrupt,
                 "pictures are %u patches of %u pixels a side, %u a row, in images of %u x %u, at "
                 "most %u a side: the graph has patches, places or merges of other sizes",
                 pictures->side(), pictures->patch(), pictures->merge(),
                 pictures->image()->height(), pictures->image()->width(), pictures->longest_side());
  }
  return CheckLayout(*pictures, facts);
}

}  // namespace graft::schema
