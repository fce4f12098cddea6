// SPDX-License-Identifier: Apache-2.0
// What models of images are for: embeddings of images, and scores for their labels.
#pragma once

#include <cstddef>
#include <span>

#include "runtime/image/prepare_image.h"
#include "runtime/model/model.h"
#include "runtime/session/session.h"
#include "runtime/tasks/encoder_tasks.h"
#include "schema/result.h"

namespace graft::runtime {

/// How the model's images are prepared; it belongs to the model.
/// Errors   kUnsupported: the model takes no images, or its file does not say how.
Result<const schema::fb::ImageInput*> ImageInputOf(const Model& model);

/// Puts "image `index`" before a failure, if there is more than one image.
Status OfImage(Status status, size_t index, size_t count);

/// *rows receives a vector for each image, prepared and computed one after the other. After a
/// failure *rows holds nothing of use.
/// Errors   kUnsupported: the task is another one, or no images;
///          kInvalidArgument: no images are given;
///          those of PrepareImage and Session::Forward.
Status EmbedImages(const Model& model, Session& session, std::span<const ImageView> images,
                   TaskRows* rows);

/// A score of each label for each image, likewise.
/// Errors   as EmbedImages.
Status ClassifyImages(const Model& model, Session& session, std::span<const ImageView> images,
                      TaskRows* rows);

}  // namespace graft::runtime
