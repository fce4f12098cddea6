// SPDX-License-Identifier: Apache-2.0
// A session's pictures: passes over their images, one after the other.
#include <algorithm>
#include <cinttypes>
#include <string>
#include <utility>
#include <vector>

#include "runtime/session/session_impl.h"
#include "schema/checked_math.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

// An image that is given as the numbers a model takes.
class GivenImage final : public PictureImages {
 public:
  GivenImage(const ImagePixels& pixels, size_t bytes) : pixels_(pixels) {
    hash_ = schema::ContentHash({reinterpret_cast<const uint8_t*>(pixels.values), bytes}, {});
  }
  schema::Hash128 hash() const override { return hash_; }
  size_t count() const override { return 1; }
  ImagePixels sides(size_t) const override { return {nullptr, pixels_.height, pixels_.width}; }
  Result<ImagePixels> Prepare(size_t) override { return pixels_; }

 private:
  ImagePixels pixels_;
  schema::Hash128 hash_;
};

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
  pictures.Assign(index, {picture.hash(), rows});
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
  const std::string_view name = plan.values()[static_cast<size_t>(plan.image_patches())].name;
  const auto found = std::find_if(others->begin(), others->end(),
                                  [&](const TensorView& view) { return view.name == name; });
  if (found == others->end()) return SetPictures({});
  const TensorView pixels = *found;
  others->erase(found);
  const auto channels =
      static_cast<int64_t>(model->verified().model().task()->pictures()->image()->channels());
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
  const auto* values = static_cast<const float*>(pixels.data);
  std::vector<std::unique_ptr<GivenImage>> pictures_given;
  std::vector<PictureImages*> views_given;
  for (uint64_t i = 0; i < images; ++i) {
    const ImagePixels image = {values + i * elements, height, width};
    pictures_given.push_back(std::make_unique<GivenImage>(image, elements * sizeof(float)));
    views_given.push_back(pictures_given.back().get());
  }
  return SetPictures(views_given);
}

}  // namespace graft::runtime
