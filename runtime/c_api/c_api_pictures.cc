// SPDX-License-Identifier: Apache-2.0
// The part of graft.h for pictures in texts.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/session/picture_images.h"
#include "runtime/tasks/image_tasks.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;

namespace {

static_assert(runtime::kMaxPictures == 64, "graft.h says so");

Result<const graft::schema::fb::Pictures*> PicturesOf(const runtime::Model& model) {
  const auto* pictures = model.verified().model().task()->pictures();
  if (pictures != nullptr) return pictures;
  return Error(StatusCode::kUnsupported, "the model takes no pictures");
}

Status CheckCount(const graft_image* images, size_t count) {
  if (images == nullptr && count > 0) return NullArgument("images");
  if (count <= runtime::kMaxPictures) return OkStatus();
  return Error(StatusCode::kOutOfRange, "%zu pictures; at most %zu are possible", count,
               runtime::kMaxPictures);
}

Status Place(const graft_model* model, std::string_view text, const graft_image* images,
             size_t count, char* placed, size_t capacity, size_t* placed_size) {
  if (model == nullptr) return NullArgument("model");
  if (text.data() == nullptr && !text.empty()) return NullArgument("text");
  if (placed == nullptr && capacity > 0) return NullArgument("placed");
  if (placed_size == nullptr) return NullArgument("placed_size");
  GRAFT_RETURN_IF_ERROR(CheckCount(images, count));
  const auto known = model->text()->model();
  GRAFT_ASSIGN_OR_RETURN(const auto* pictures, PicturesOf(*known));
  std::vector<runtime::PictureShape> shapes;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t limit = graft::schema::kMaxImageSide;
    if (images[i].width < 1 || images[i].width > limit || images[i].height < 1 ||
        images[i].height > limit) {
      return Error(StatusCode::kInvalidArgument,
                   "image %zu is %u x %u pixels; it must have 1 to %u a side", i, images[i].width,
                   images[i].height, limit);
    }
    shapes.push_back(runtime::ShapeOfPicture(*pictures, images[i].width, images[i].height));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string whole, runtime::PlacePictures(*pictures, text, shapes));
  return CopyOut(whole, "bytes", placed, capacity, placed_size);
}

Status SetPictures(graft_session* session, const graft_image* images, size_t count) {
  GRAFT_RETURN_IF_ERROR(CheckCount(images, count));
  const auto model = session->model->model();
  GRAFT_ASSIGN_OR_RETURN(const auto* pictures, PicturesOf(*model));
  std::vector<runtime::ImageView> views(count);
  std::vector<std::unique_ptr<runtime::CallersPicture>> owned;
  std::vector<runtime::PictureImages*> given;
  for (size_t i = 0; i < count; ++i) {
    GRAFT_RETURN_IF_ERROR(runtime::OfImage(ReadImage(images[i], &views[i]), i, count));
    owned.push_back(std::make_unique<runtime::CallersPicture>(*pictures, views[i]));
    GRAFT_RETURN_IF_ERROR(runtime::OfImage(owned.back()->Read(), i, count));
    given.push_back(owned.back().get());
  }
  session->session->ClearCancel();
  return session->session->SetPictures(given);
}

}  // namespace

GRAFT_API graft_status graft_model_place_pictures(const graft_model* model, const char* text,
                                                  size_t size, const graft_image* images,
                                                  size_t count, char* placed, size_t capacity,
                                                  size_t* placed_size, graft_error* error) {
  return Call(
      [&] {
        return Place(model, std::string_view(text, size), images, count, placed, capacity,
                     placed_size);
      },
      error);
}

GRAFT_API graft_status graft_session_set_pictures(graft_session* session, const graft_image* images,
                                                  size_t count, graft_error* error) {
  return CallIn(
      session, [&] { return SetPictures(session, images, count); }, error);
}
