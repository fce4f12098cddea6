// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/pictures/text_pictures.h"

#include <utility>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/model/model_handle.h"

namespace graft_run {

std::string MessageOf(const std::string& role, const std::string& text, bool in_parts,
                      size_t pictures) {
  JsonObject message;
  message.String("role", role);
  if (!in_parts) return message.String("content", text).Text();
  std::vector<JsonObject> parts(pictures);
  for (JsonObject& part : parts) part.String("type", "image");
  parts.push_back(JsonObject().String("type", "text").String("text", text));
  return message.Objects("content", parts).Text();
}

bool TextPictures::Add(const std::string& file) {
  Picture picture;
  if (!ReadPicture(file, &picture)) return false;
  pictures_.push_back(std::move(picture));
  return true;
}

std::vector<graft_image> TextPictures::Images() const {
  std::vector<graft_image> images;
  for (const Picture& picture : pictures_) {
    images.push_back({picture.pixels.get(), picture.width, picture.height, 0, GRAFT_IMAGE_RGB8});
  }
  return images;
}

bool TextPictures::Place(const std::string& model_file, const graft_model* model,
                         std::string* text) const {
  const std::vector<graft_image> images = Images();
  std::string placed;
  const bool done = FillWhole(model_file, 4096, &placed,
                              [&](char* room, size_t capacity, size_t* size, graft_error* error) {
                                return graft_model_place_pictures(model, text->data(), text->size(),
                                                                  images.data(), images.size(),
                                                                  room, capacity, size, error);
                              });
  if (done) *text = std::move(placed);
  return done;
}

bool TextPictures::SetIn(const std::string& model_file, graft_session* session) const {
  const std::vector<graft_image> images = Images();
  graft_error error{};
  const InterruptGuard guard(session);
  if (graft_session_set_pictures(session, images.data(), images.size(), &error) == GRAFT_OK)
    return true;
  FailCall(model_file, error);
  return false;
}

}  // namespace graft_run
