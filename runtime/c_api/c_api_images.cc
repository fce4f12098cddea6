// SPDX-License-Identifier: Apache-2.0
// The part of graft.h for images: from pixels to what a model takes, embeddings and labels.
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/image/prepare_image.h"
#include "runtime/tasks/encoder_tasks.h"
#include "runtime/tasks/image_tasks.h"
#include "schema/image_window.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;

namespace {

static_assert(GRAFT_IMAGE_RGB8 == static_cast<int>(runtime::PixelFormat::kRgb8));
static_assert(GRAFT_IMAGE_RGBA8 == static_cast<int>(runtime::PixelFormat::kRgba8));
static_assert(GRAFT_IMAGE_GRAY8 == static_cast<int>(runtime::PixelFormat::kGray8));
static_assert(graft::schema::kMaxImageSide == 16384, "graft.h says so");

Status Prepare(const graft_model* model, const graft_image* image, float* prepared, size_t capacity,
               size_t* count) {
  if (model == nullptr) return NullArgument("model");
  if (image == nullptr) return NullArgument("image");
  if (prepared == nullptr && capacity > 0) return NullArgument("prepared");
  if (count == nullptr) return NullArgument("count");
  GRAFT_ASSIGN_OR_RETURN(const auto* input, runtime::ImageInputOf(*model->text()->model()));
  const size_t needed = runtime::PreparedSize(*input);
  if (needed > capacity) {
    *count = needed;
    return Error(StatusCode::kOutOfRange, "%zu floats do not fit in a capacity of %zu", needed,
                 capacity);
  }
  runtime::ImageView view;
  GRAFT_RETURN_IF_ERROR(ReadImage(*image, &view));
  GRAFT_RETURN_IF_ERROR(runtime::PrepareImage(*input, view, {prepared, needed}));
  *count = needed;
  return OkStatus();
}

using ImageTask = Status(const runtime::Model& model, runtime::Session& session,
                         std::span<const runtime::ImageView> images, runtime::TaskRows* rows);

// What `task` gives for the images; the session keeps it.
Status RunOnImages(ImageTask* task, graft_session* session, std::span<const graft_image> images,
                   const float** numbers, size_t* width) {
  std::vector<runtime::ImageView> views(images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(runtime::OfImage(ReadImage(images[i], &views[i]), i, images.size()));
  }
  session->session->ClearCancel();
  runtime::TaskRows rows;
  GRAFT_RETURN_IF_ERROR(task(*session->model->model(), *session->session, views, &rows));
  session->numbers = std::move(rows.numbers);
  *numbers = session->numbers.data();
  *width = rows.width;
  return OkStatus();
}

Status EmbedImages(graft_session* session, std::span<const graft_image> images,
                   const float** embeddings, size_t* width) {
  if (session == nullptr) return NullArgument("session");
  if (images.data() == nullptr) return NullArgument("images");
  if (embeddings == nullptr) return NullArgument("embeddings");
  if (width == nullptr) return NullArgument("width");
  return RunOnImages(runtime::EmbedImages, session, images, embeddings, width);
}

Status ClassifyImages(graft_session* session, std::span<const graft_image> images,
                      const float** scores, size_t* labels) {
  if (session == nullptr) return NullArgument("session");
  if (images.data() == nullptr) return NullArgument("images");
  if (scores == nullptr) return NullArgument("scores");
  if (labels == nullptr) return NullArgument("labels");
  return RunOnImages(runtime::ClassifyImages, session, images, scores, labels);
}

}  // namespace

namespace graft::capi {

Status ReadImage(const graft_image& image, runtime::ImageView* view) {
  if (image.format < GRAFT_IMAGE_RGB8 || image.format > GRAFT_IMAGE_GRAY8) {
    return Error(StatusCode::kInvalidArgument, "the image's format %d is none of GRAFT_IMAGE_...",
                 image.format);
  }
  view->pixels = image.pixels;
  view->width = image.width;
  view->height = image.height;
  view->row_stride_bytes = image.row_stride_bytes;
  view->format = static_cast<runtime::PixelFormat>(image.format);
  return OkStatus();
}

}  // namespace graft::capi

GRAFT_API graft_status graft_model_prepare_image(const graft_model* model, const graft_image* image,
                                                 float* prepared, size_t capacity, size_t* count,
                                                 graft_error* error) {
  return Call([&] { return Prepare(model, image, prepared, capacity, count); }, error);
}

GRAFT_API graft_status graft_session_embed_images(graft_session* session, const graft_image* images,
                                                  size_t count, const float** embeddings,
                                                  size_t* width, graft_error* error) {
  return CallIn(
      session,
      [&] {
        return EmbedImages(session, {images, count}, embeddings, width);
      },
      error);
}

GRAFT_API graft_status graft_session_classify_images(graft_session* session,
                                                     const graft_image* images, size_t count,
                                                     const float** scores, size_t* labels,
                                                     graft_error* error) {
  return CallIn(
      session,
      [&] {
        return ClassifyImages(session, {images, count}, scores, labels);
      },
      error);
}
