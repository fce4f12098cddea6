// SPDX-License-Identifier: Apache-2.0
// The part of graft.h for images: from pixels to what a model takes, embeddings and labels.
#include <graft/graft.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

#include "runtime/base/page_memory.h"
#include "runtime/c_api/c_api_support.h"
#include "runtime/image/prepare_image.h"
#include "runtime/model/model.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"
#include "schema/verify.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace fb = graft::schema::fb;
namespace runtime = graft::runtime;

namespace {

static_assert(GRAFT_IMAGE_RGB8 == static_cast<int>(runtime::PixelFormat::kRgb8));
static_assert(GRAFT_IMAGE_RGBA8 == static_cast<int>(runtime::PixelFormat::kRgba8));
static_assert(GRAFT_IMAGE_GRAY8 == static_cast<int>(runtime::PixelFormat::kGray8));
static_assert(graft::schema::kMaxImageSide == 16384, "graft.h says so");

const fb::Model& FileOf(const runtime::TextModel& model) {
  return model.model()->verified().model();
}

Result<const fb::ImageInput*> ImageInputOf(const runtime::TextModel& model) {
  const fb::ImageInput* input = FileOf(model).task()->image();
  if (input != nullptr) return input;
  return Error(StatusCode::kUnsupported,
               "the model takes no images, or its file does not say how they are prepared");
}

Status Prepare(const fb::ImageInput& input, const graft_image& image, std::span<float> prepared) {
  if (image.format < GRAFT_IMAGE_RGB8 || image.format > GRAFT_IMAGE_GRAY8) {
    return Error(StatusCode::kInvalidArgument, "the image's format %d is none of GRAFT_IMAGE_...",
                 image.format);
  }
  runtime::ImageView view;
  view.pixels = image.pixels;
  view.width = image.width;
  view.height = image.height;
  view.row_stride_bytes = image.row_stride_bytes;
  view.format = static_cast<runtime::PixelFormat>(image.format);
  return runtime::PrepareImage(input, view, prepared);
}

Status PrepareOne(const graft_model* model, const graft_image* image, float* prepared,
                  size_t capacity, size_t* count) {
  if (model == nullptr) return NullArgument("model");
  if (image == nullptr) return NullArgument("image");
  if (prepared == nullptr && capacity > 0) return NullArgument("prepared");
  if (count == nullptr) return NullArgument("count");
  GRAFT_ASSIGN_OR_RETURN(const fb::ImageInput* input, ImageInputOf(*model->shared));
  *count = runtime::PreparedSize(*input);
  if (*count > capacity) {
    return Error(StatusCode::kOutOfRange, "%zu floats do not fit in a capacity of %zu", *count,
                 capacity);
  }
  return Prepare(*input, *image, {prepared, *count});
}

// The first output's row of each image, in session->numbers.
Status ComputeImages(graft_session* session, std::span<const graft_image> images, size_t* width) {
  if (images.data() == nullptr) return NullArgument("images");
  if (images.empty()) return Error(StatusCode::kInvalidArgument, "no images are given");
  GRAFT_ASSIGN_OR_RETURN(const fb::ImageInput* input, ImageInputOf(*session->model));
  session->session->ClearCancel();
  session->numbers.clear();
  const size_t elements = runtime::PreparedSize(*input);
  GRAFT_ASSIGN_OR_RETURN(const runtime::PageMemory memory,
                         runtime::PageMemory::Allocate(uint64_t{elements} * sizeof(float),
                                                       "the prepared pixels of an image"));
  const std::span<float> prepared(reinterpret_cast<float*>(memory.data()), elements);
  const fb::Graph& graph = *FileOf(*session->model).graph();
  const auto value = static_cast<uint32_t>(graph.inputs()->Get(0)->value());
  runtime::TensorView pixels;
  pixels.name = graph.values()->Get(value)->name()->str();
  pixels.shape = {input->channels(), input->height(), input->width()};
  pixels.data = prepared.data();
  for (size_t i = 0; i < images.size(); ++i) {
    if (Status status = Prepare(*input, images[i], prepared); !status.ok()) {
      std::array<char, 32> which{};
      std::snprintf(which.data(), which.size(), "image %zu", i);
      return images.size() == 1 ? status : status.WithContext(which.data());
    }
    GRAFT_ASSIGN_OR_RETURN(const auto outputs, session->session->Forward({&pixels, 1}));
    *width = static_cast<size_t>(outputs[0].shape.back());
    const auto* row = static_cast<const float*>(outputs[0].data);
    session->numbers.insert(session->numbers.end(), row, row + *width);
  }
  return OkStatus();
}

Status EmbedImages(graft_session* session, std::span<const graft_image> images,
                   const float** embeddings, size_t* width) {
  GRAFT_RETURN_IF_ERROR(RequireTask(session, GRAFT_TASK_EMBEDDING, "make embeddings"));
  if (embeddings == nullptr) return NullArgument("embeddings");
  if (width == nullptr) return NullArgument("width");
  size_t columns = 0;
  GRAFT_RETURN_IF_ERROR(ComputeImages(session, images, &columns));
  *embeddings = session->numbers.data();
  *width = columns;
  return OkStatus();
}

Status ClassifyImages(graft_session* session, std::span<const graft_image> images,
                      const float** scores, size_t* labels) {
  GRAFT_RETURN_IF_ERROR(RequireTask(session, GRAFT_TASK_CLASSIFICATION, "classify images"));
  if (scores == nullptr) return NullArgument("scores");
  if (labels == nullptr) return NullArgument("labels");
  size_t columns = 0;
  GRAFT_RETURN_IF_ERROR(ComputeImages(session, images, &columns));
  FinishScores(*session, columns, &session->numbers);
  *scores = session->numbers.data();
  *labels = columns;
  return OkStatus();
}

}  // namespace

graft_status graft_prepare_image(const graft_model* model, const graft_image* image,
                                 float* prepared, size_t capacity, size_t* count,
                                 graft_error* error) {
  return Report(PrepareOne(model, image, prepared, capacity, count), error);
}

graft_status graft_embed_images(graft_session* session, const graft_image* images, size_t count,
                                const float** embeddings, size_t* width, graft_error* error) {
  return Report(EmbedImages(session, {images, count}, embeddings, width), error);
}

graft_status graft_classify_images(graft_session* session, const graft_image* images, size_t count,
                                   const float** scores, size_t* labels, graft_error* error) {
  return Report(ClassifyImages(session, {images, count}, scores, labels), error);
}
