// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/pictures/image_rows.h"

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/pictures/picture.h"

namespace graft_run {

int ComputeImageRows(const std::string& model, graft_session* session,
                     const std::vector<std::string>& images, ImageCall call,
                     std::vector<float>* rows, size_t* width) {
  for (const std::string& file : images) {
    Picture picture;
    if (!ReadPicture(file, &picture)) return kExitFailure;
    graft_image image{};
    image.pixels = picture.pixels.get();
    image.width = picture.width;
    image.height = picture.height;
    image.format = GRAFT_IMAGE_RGB8;
    const float* row = nullptr;
    graft_error error{};
    if (call(session, &image, 1, &row, width, &error) != GRAFT_OK) return FailCall(model, error);
    rows->insert(rows->end(), row, row + *width);
  }
  return kExitOk;
}

}  // namespace graft_run
