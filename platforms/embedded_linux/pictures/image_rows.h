// SPDX-License-Identifier: Apache-2.0
// What a model makes of image files, one after the other.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <graft/graft.h>

namespace graft_run {

/// graft_session_embed_images or graft_session_classify_images.
using ImageCall = graft_status (*)(graft_session* session, const graft_image* images, size_t count,
                                   const float** rows, size_t* width, graft_error* error);

/// Decodes each of `images` and lets `call` compute it: *width numbers for each, in *rows. `model`
/// is the model's file, for messages. Returns an exit code; a failure has been printed.
int ComputeImageRows(const std::string& model, graft_session* session,
                     const std::vector<std::string>& images, ImageCall call,
                     std::vector<float>* rows, size_t* width);

}  // namespace graft_run
