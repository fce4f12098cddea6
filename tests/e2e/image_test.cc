// SPDX-License-Identifier: Apache-2.0
// From image files to numbers: pixels, scores and embeddings are those of transformers with Pillow.
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "platforms/embedded_linux/pictures/picture.h"
#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

// Of float32 numbers up to 3, computed in another order.
constexpr double kPixelTolerance = 1e-6;
// Of the largest reference value, as for all encoders.
constexpr double kRelativeTolerance = 1e-3;
// JPEG's standard leaves the last bits to decoders: stb_image and libjpeg differ by up to 2 of 255.
constexpr double kJpegTolerance = 3e-2;

struct Image {
  explicit Image(const std::string& name) {
    const std::string file = DataPath("images/" + name);
    REQUIRE(graft_run::ReadPicture(file, &picture));
    view.pixels = picture.pixels.get();
    view.width = picture.width;
    view.height = picture.height;
    view.format = GRAFT_IMAGE_RGB8;
  }
  graft_run::Picture picture;
  graft_image view = {};
};

std::vector<float> PreparedBy(const graft_model* model, const graft_image& image) {
  std::vector<float> pixels(3 * 32 * 32);
  size_t count = 0;
  graft_error error = {};
  const graft_status status =
      graft_model_prepare_image(model, &image, pixels.data(), pixels.size(), &count, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  CHECK(count == pixels.size());
  return pixels;
}

std::vector<double> Softmax(std::vector<double> numbers) {
  double total = 0;
  for (double& number : numbers) total += number = std::exp(number);
  for (double& number : numbers) number /= total;
  return numbers;
}

// The first output's row of one image.
std::vector<float> RowOf(graft_session* session, bool is_embedder, const graft_image& image) {
  const float* row = nullptr;
  size_t width = 0;
  graft_error error = {};
  const auto call = is_embedder ? graft_session_embed_images : graft_session_classify_images;
  const graft_status status = call(session, &image, 1, &row, &width, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  return {row, row + width};
}

TEST_SUITE("e2e/images") {
  TEST_CASE("pixel_values are those of transformers' image processors") {
    for (const char* preparation : {"vit", "deit"}) {
      const ModelPtr model = OpenModel(std::string("image-vit-") + preparation + "-f32");
      for (const char* name : {"wide.png", "tall.png", "tiny.png"}) {
        CAPTURE(preparation);
        CAPTURE(name);
        const Numbers expected = ReadNumbers(DataPath("images/pixel_values.safetensors"),
                                             std::string("vit-") + preparation + "/" + name);
        CHECK(LargestDifference(PreparedBy(model.get(), Image(name).view), expected.values) <=
              kPixelTolerance);
      }
    }
  }

  TEST_CASE("scores and embeddings are those of transformers, from PNG and JPEG") {
    std::ifstream file(DataPath("images/references.txt"));
    std::string model_name, image_name;
    size_t count = 0;
    int cases = 0;
    while (file >> model_name >> image_name >> count) {
      CAPTURE(model_name);
      CAPTURE(image_name);
      std::vector<double> expected(count);
      for (double& number : expected) file >> number;
      const bool is_embedder = model_name == "embedder";
      if (!is_embedder) expected = Softmax(expected);
      const ModelPtr model = OpenModel("image-" + model_name + "-f32");
      const SessionPtr session = NewSession(model.get());
      const Image image(image_name);
      const double tolerance = image_name.ends_with(".jpg") ? kJpegTolerance : kRelativeTolerance;
      CHECK(LargestDifference(RowOf(session.get(), is_embedder, image.view), expected) <=
            tolerance * LargestMagnitude(expected));
      ++cases;
    }
    CHECK(cases == 54);
  }

  TEST_CASE("several images give what each gives alone, and messages say which is wrong") {
    const ModelPtr model = OpenModel("image-vit-vit-f32");
    const SessionPtr session = NewSession(model.get());
    const Image wide("wide.png");
    const Image tall("tall.png");
    graft_image images[] = {wide.view, tall.view, wide.view};
    const float* scores = nullptr;
    size_t labels = 0;
    graft_error error = {};
    REQUIRE(graft_session_classify_images(session.get(), images, 3, &scores, &labels, &error) ==
            GRAFT_OK);
    REQUIRE(labels == 5);
    const std::vector<float> all(scores, scores + 15);
    for (size_t i = 0; i < 3; ++i) {
      const std::vector<float> row(all.begin() + static_cast<ptrdiff_t>(5 * i),
                                   all.begin() + static_cast<ptrdiff_t>(5 * i + 5));
      CHECK(RowOf(session.get(), false, images[i]) == row);
    }
    images[1].width = 0;
    CHECK(graft_session_classify_images(session.get(), images, 3, &scores, &labels, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(std::string(error.message).find("image 1: ") == 0);
    images[1] = tall.view;
    images[1].format = 9;
    CHECK(graft_session_classify_images(session.get(), images, 3, &scores, &labels, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_session_classify_images(session.get(), images, 0, &scores, &labels, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_session_classify_images(session.get(), nullptr, 1, &scores, &labels, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_session_embed_images(session.get(), images, 1, &scores, &labels, &error) ==
          GRAFT_UNSUPPORTED);
  }

  TEST_CASE("a capacity that is too small says what is needed, and texts' models take no images") {
    const ModelPtr model = OpenModel("image-vit-vit-f32");
    const Image image("tiny.png");
    size_t count = 0;
    graft_error error = {};
    CHECK(graft_model_prepare_image(model.get(), &image.view, nullptr, 0, &count, &error) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(count == 3072);
    graft_model_info info = {};
    info.struct_size = sizeof(info);
    REQUIRE(graft_model_get_info(model.get(), &info, &error) == GRAFT_OK);
    CHECK(info.takes_images == 1);
    const ModelPtr texts = OpenModel("architecture-bert_seqcls-f32");
    CHECK(graft_model_prepare_image(texts.get(), &image.view, nullptr, 0, &count, &error) ==
          GRAFT_UNSUPPORTED);
    REQUIRE(graft_model_get_info(texts.get(), &info, &error) == GRAFT_OK);
    CHECK(info.takes_images == 0);
  }
}

}  // namespace
}  // namespace graft::test
