// SPDX-License-Identifier: Apache-2.0
// A session's pictures: passes over their images, one after the other.
#include <algorithm>
#include <cinttypes>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/session/session_impl.h"
#include "schema/checked_math.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// The input that says how many patches each image has, as transformers calls it.
constexpr const char* kGrids = "image_grid_thw";

// An image that is given as the numbers a model takes.
class GivenImage final : public PictureImages {
 public:
  GivenImage(const ImagePixels& pixels, size_t bytes) : pixels_(pixels) {
    const uint32_t sides[] = {pixels.height, pixels.width};
    hash_ = schema::ContentHash({reinterpret_cast<const uint8_t*>(pixels.values), bytes},
                                {reinterpret_cast<const uint8_t*>(sides), sizeof(sides)});
  }
  schema::Hash128 hash() const override { return hash_; }
  size_t count() const override { return 1; }
  ImagePixels sides(size_t) const override { return {nullptr, pixels_.height, pixels_.width}; }
  Result<ImagePixels> Prepare(size_t) override { return pixels_; }

 private:
  ImagePixels pixels_;
  schema::Hash128 hash_;
};

// [images, channels, height, width], of which the first dimension may be missing, or be several.
Result<std::vector<ImagePixels>> ImagesOfPixels(const fb::Pictures& settings,
                                                const TensorView& pixels) {
  const int64_t channels = settings.image()->channels();
  const size_t rank = pixels.shape.size();
  uint64_t images = 1;
  bool fits = pixels.type == ElementType::kFloat32 && pixels.data != nullptr && rank >= 3;
  for (size_t i = 0; fits && i < rank; ++i) {
    fits = pixels.shape[i] >= 1 && pixels.shape[i] <= std::numeric_limits<int32_t>::max();
    if (i + 3 < rank) fits = fits && CheckedMultiply<uint64_t>(images, pixels.shape[i], &images);
  }
  if (!fits || pixels.shape[rank - 3] != channels || images > kMaxPictures) {
    return Error(StatusCode::kInvalidArgument,
                 "input %.200s must be f32 of [images, %" PRId64
                 ", height, width], at most %zu images",
                 pixels.name.c_str(), channels, kMaxPictures);
  }
  const auto height = static_cast<uint32_t>(pixels.shape[rank - 2]);
  const auto width = static_cast<uint32_t>(pixels.shape[rank - 1]);
  const size_t elements = static_cast<size_t>(channels) * height * width;
  std::vector<ImagePixels> found;
  for (uint64_t i = 0; i < images; ++i) {
    found.push_back({static_cast<const float*>(pixels.data) + i * elements, height, width});
  }
  return found;
}

// Patches of all images, [patches, numbers], and of each its frames, rows and columns of patches,
// i32 [images, 3].
Result<std::vector<ImagePixels>> ImagesOfPatches(const fb::Pictures& settings,
                                                 const TensorView& patches,
                                                 const TensorView* grids) {
  const int64_t numbers = int64_t{settings.patch()} * settings.patch() *
                          settings.image()->channels() * settings.frames();
  const bool fits = patches.type == ElementType::kFloat32 && patches.data != nullptr &&
                    patches.shape[0] >= 1 && patches.shape[1] == numbers && grids != nullptr &&
                    grids->type == ElementType::kInt32 && grids->data != nullptr &&
                    grids->shape.size() == 2 && grids->shape[0] >= 1 &&
                    grids->shape[0] <= int64_t{kMaxPictures} && grids->shape[1] == 3;
  if (!fits) {
    return Error(StatusCode::kInvalidArgument,
                 "input %.200s of rank 2 must be f32 of [patches, %" PRId64
                 "], and %s i32 of [images, 3], at most %zu images",
                 patches.name.c_str(), numbers, kGrids, kMaxPictures);
  }
  std::vector<ImagePixels> found;
  const auto* from = static_cast<const float*>(patches.data);
  int64_t left = patches.shape[0];
  for (int64_t i = 0; i < grids->shape[0]; ++i) {
    const int32_t* grid = static_cast<const int32_t*>(grids->data) + 3 * i;
    const auto most = static_cast<int32_t>(settings.side());
    const bool is_still = grid[0] == 1 && grid[1] >= 1 && grid[1] <= most && grid[2] >= 1 &&
                          grid[2] <= most && int64_t{grid[1]} * grid[2] <= left;
    if (!is_still) {
      return Error(StatusCode::kInvalidArgument,
                   "image %" PRId64 " is %" PRId32 " times %" PRId32 " x %" PRId32
                   " patches; one time, at most %" PRId32 " a side, and all that are given",
                   i, grid[0], grid[1], grid[2], most);
    }
    const auto side = [&](int32_t count) {
      return static_cast<uint32_t>(count) * settings.patch();
    };
    found.push_back({from, side(grid[1]), side(grid[2]), true});
    left -= int64_t{grid[1]} * grid[2];
    from += int64_t{grid[1]} * grid[2] * numbers;
  }
  if (left == 0) return found;
  return Error(StatusCode::kInvalidArgument,
               "input %.200s has %" PRId64 " patches more than the images that %s says",
               patches.name.c_str(), left, kGrids);
}

}  // namespace

Status Session::Impl::ComputeImage(const ImagePixels& image, float* rows) {
  const uint32_t patch = model->verified().model().task()->pictures()->patch();
  std::fill(binding.begin(), binding.end(), int64_t{0});
  SetImageRows(plan, size_t{image.height / patch} * (image.width / patch), &binding);
  Status status = executor->Prepare(binding);
  if (status.ok()) {
    auto* patches = static_cast<float*>(executor->data(plan.image_patches()));
    int32_t* places = plan.image_positions() < 0
                          ? nullptr
                          : static_cast<int32_t*>(executor->data(plan.image_positions()));
    if (patches != nullptr) pictures.WritePatches(image, patches, places);
    executor->set_images(
        {.height = image.height / patch, .width = image.width / patch, .store = rows});
    status = executor->Run(0, cancelled);
    executor->set_images({});
  }
  std::fill(binding.begin(), binding.end(), int64_t{0});
  return status;
}

Status Session::Impl::ComputePicture(size_t index, PictureImages& picture, size_t rows) {
  GRAFT_ASSIGN_OR_RETURN(float* to, pictures.Allocate(rows, &budget));
  for (size_t i = 0; i < picture.count(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const ImagePixels image, picture.Prepare(i));
    GRAFT_RETURN_IF_ERROR(ComputeImage(image, to));
    to += pictures.RowsOf(image) * pictures.width();
  }
  const uint32_t columns = picture.count() == 1 ? pictures.ColumnsOf(picture.sides(0)) : 0;
  pictures.Assign(index, {picture.hash(), static_cast<uint32_t>(rows), columns});
  return OkStatus();
}

Status Session::Impl::SetPictures(std::span<PictureImages* const> given) {
  if (!plan.takes_pictures()) return Error(StatusCode::kUnsupported, "the model takes no pictures");
  if (given.size() > kMaxPictures) {
    return Error(StatusCode::kOutOfRange, "%zu pictures; at most %zu are possible", given.size(),
                 kMaxPictures);
  }
  std::vector<size_t> rows;
  size_t all_rows = 0;
  for (const PictureImages* picture : given) {
    GRAFT_ASSIGN_OR_RETURN(rows.emplace_back(), pictures.RowsOf(*picture, context_tokens));
    all_rows += rows.back();
  }
  if (all_rows > context_tokens) {
    return Error(StatusCode::kOutOfRange,
                 "the pictures take %zu tokens, more than the context of %u", all_rows,
                 context_tokens);
  }
  size_t same = 0;
  while (same < std::min(given.size(), pictures.count()) &&
         pictures.picture(same).hash == given[same]->hash())
    ++same;
  ClearOutputs();
  if (same < std::max(given.size(), pictures.count()))
    position = std::min(position, pictures.PositionOf(pictures.rows_before(same), held()));
  pictures.Truncate(same, &budget);
  // Of pictures that were restored nothing is there; it is needed where tokens of theirs are not, and
  // where states may have to be computed again.
  const size_t used = pictures.CountIn(held());
  for (size_t i = 0; i < same; ++i) {
    if (!pictures.has_values(i) && (pictures.rows_before(i + 1) > used || !states.empty()))
      GRAFT_RETURN_IF_ERROR(ComputePicture(i, *given[i], rows[i]));
  }
  for (size_t i = same; i < given.size(); ++i)
    GRAFT_RETURN_IF_ERROR(ComputePicture(i, *given[i], rows[i]));
  return OkStatus();
}

// Pixels among the inputs of a Forward are the text's pictures; without them it has none.
Status Session::Impl::TakePictures(std::span<const TensorView> inputs,
                                   std::vector<TensorView>* others) {
  others->assign(inputs.begin(), inputs.end());
  const auto take = [others](std::string_view name) {
    const auto found = std::find_if(others->begin(), others->end(),
                                    [&](const TensorView& view) { return view.name == name; });
    std::optional<TensorView> taken;
    if (found == others->end()) return taken;
    taken = std::move(*found);
    others->erase(found);
    return taken;
  };
  const auto pixels = take(plan.values()[static_cast<size_t>(plan.image_patches())].name);
  if (!pixels) return SetPictures({});
  const fb::Pictures& settings = *model->verified().model().task()->pictures();
  std::vector<ImagePixels> images;
  if (pixels->shape.size() == 2) {
    const auto grids = take(kGrids);
    GRAFT_ASSIGN_OR_RETURN(images, ImagesOfPatches(settings, *pixels, grids ? &*grids : nullptr));
  } else {
    GRAFT_ASSIGN_OR_RETURN(images, ImagesOfPixels(settings, *pixels));
  }
  std::vector<std::unique_ptr<GivenImage>> given;
  std::vector<PictureImages*> views_given;
  for (const ImagePixels& image : images) {
    size_t numbers = size_t{image.height} * image.width * settings.image()->channels();
    if (image.in_patches) numbers *= settings.frames();
    given.push_back(std::make_unique<GivenImage>(image, numbers * sizeof(float)));
    views_given.push_back(given.back().get());
  }
  return SetPictures(views_given);
}

}  // namespace graft::runtime
