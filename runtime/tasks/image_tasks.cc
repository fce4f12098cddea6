// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/image_tasks.h"

#include <array>
#include <cstdint>
#include <cstdio>

#include "runtime/base/page_memory.h"
#include "runtime/tasks/model_inputs.h"
#include "schema/generated/model_generated.h"
#include "schema/verify.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// The first output's row of each image.
Status ComputeImages(const Model& model, Session& session, std::span<const ImageView> images,
                     TaskRows* rows) {
  if (images.empty()) return Error(StatusCode::kInvalidArgument, "no images are given");
  GRAFT_ASSIGN_OR_RETURN(const fb::ImageInput* input, ImageInputOf(model));
  const size_t elements = PreparedSize(*input);
  GRAFT_ASSIGN_OR_RETURN(
      const PageMemory memory,
      PageMemory::Allocate(uint64_t{elements} * sizeof(float), "the prepared pixels of an image"));
  const std::span<float> prepared(reinterpret_cast<float*>(memory.data()), elements);
  GRAFT_ASSIGN_OR_RETURN(const ModelInput described, DescribeInput(model, 0));
  TensorView pixels;
  pixels.name = described.name;
  pixels.shape = {input->channels(), input->height(), input->width()};
  pixels.data = prepared.data();
  for (size_t i = 0; i < images.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(OfImage(PrepareImage(*input, images[i], prepared), i, images.size()));
    GRAFT_ASSIGN_OR_RETURN(const auto outputs, session.Forward({&pixels, 1}));
    rows->Append(outputs[0], 0, 1);
  }
  return OkStatus();
}

}  // namespace

Result<const fb::ImageInput*> ImageInputOf(const Model& model) {
  const fb::ImageInput* input = model.verified().model().task()->image();
  if (input != nullptr) return input;
  return Error(StatusCode::kUnsupported,
               "the model takes no images, or its file does not say how they are prepared");
}

Status OfImage(Status status, size_t index, size_t count) {
  if (status.ok() || count == 1) return status;
  std::array<char, 32> which{};
  std::snprintf(which.data(), which.size(), "image %zu", index);
  return status.WithContext(which.data());
}

Status EmbedImages(const Model& model, Session& session, std::span<const ImageView> images,
                   TaskRows* rows) {
  GRAFT_RETURN_IF_ERROR(RequireTask(model, fb::TaskKind::Embedding, "make embeddings"));
  return ComputeImages(model, session, images, rows);
}

Status ClassifyImages(const Model& model, Session& session, std::span<const ImageView> images,
                      TaskRows* rows) {
  GRAFT_RETURN_IF_ERROR(RequireTask(model, fb::TaskKind::Classification, "classify images"));
  GRAFT_RETURN_IF_ERROR(ComputeImages(model, session, images, rows));
  FinishScores(model, rows);
  return OkStatus();
}

}  // namespace graft::runtime
