// SPDX-License-Identifier: Apache-2.0
// Every model of tests/data/vision, converted here: transformers' outputs for its two images, on any
// number of threads; and quantized they follow.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/converted_model.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

constexpr size_t kModels = 17;
// Of the largest number. Found: 1e-6.
constexpr double kRelativeTolerance = 2e-5;

std::vector<std::string> Names() { return FixturesIn("vision", kModels); }

class VisionModel : public ConvertedModel {
 public:
  explicit VisionModel(const std::string& name, const converter::StoredFormat& format = {},
                       const std::filesystem::path& base = {})
      : ConvertedModel(converter::TestData("vision/" + name), format, base) {}

  // The least cosine, and the largest difference as a part of the largest number, of any output of
  // either image.
  struct Agreement {
    double cosine = 1.0;
    double difference = 0.0;
    size_t outputs = 0;
  };
  Agreement Compare(uint32_t threads) const {
    const SessionPtr session = NewSession(model(), threads);
    const Numbers pixels = Read("pixel_values");
    const size_t size = pixels.values.size() / 2;
    Agreement agreement;
    for (size_t image = 0; image < 2; ++image) {
      std::vector<float> values(size);
      std::transform(pixels.values.begin() + static_cast<ptrdiff_t>(image * size),
                     pixels.values.begin() + static_cast<ptrdiff_t>((image + 1) * size),
                     values.begin(), [](double x) { return static_cast<float>(x); });
      graft_tensor input = {};
      input.name = "pixel_values";
      input.rank = 3;
      for (size_t i = 0; i < 3; ++i) input.shape[i] = pixels.shape[i + 1];
      input.data = values.data();
      CompareOutputs(session.get(), input, image, &agreement);
    }
    return agreement;
  }

 private:
  void CompareOutputs(graft_session* session, const graft_tensor& input, size_t image,
                      Agreement* agreement) const {
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error = {};
    const graft_status status = graft_session_forward(session, &input, 1, &outputs, &count, &error);
    REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
    for (size_t i = 0; i < count; ++i) {
      if (std::string(outputs[i].name) == "image_embedding") continue;  // as pooler_output
      CAPTURE(std::string(outputs[i].name));
      const Numbers all = Read(outputs[i].name);
      const size_t size = all.values.size() / 2;
      const std::vector<double> expected(
          all.values.begin() + static_cast<ptrdiff_t>(image * size),
          all.values.begin() + static_cast<ptrdiff_t>((image + 1) * size));
      const auto* data = static_cast<const float*>(outputs[i].data);
      const std::vector<float> got(data, data + size);
      agreement->cosine = std::min(agreement->cosine, Cosine(got, expected));
      agreement->difference = std::max(
          agreement->difference, LargestDifference(got, expected) / LargestMagnitude(expected));
      ++agreement->outputs;
    }
  }
};

TEST_SUITE("e2e/vision_models") {
  TEST_CASE("float32 outputs are those of transformers, on one thread and on several") {
    for (const std::string& name : Names()) {
      CAPTURE(name);
      const VisionModel model(name);
      for (const uint32_t threads : {1u, 3u}) {
        const VisionModel::Agreement agreement = model.Compare(threads);
        CHECK(agreement.outputs >= 2);
        CHECK(agreement.difference <= kRelativeTolerance);
      }
    }
  }

  TEST_CASE("images of another size than the file says are computed by models that can") {
    const std::string size = R"({"image_processor_type": "SegformerImageProcessor",
                                 "size": {"height": 48, "width": 32}})";
    for (const char* name :
         {"resnet", "resnet_basic", "segformer", "mobilenet_v2_map", "convnext"}) {
      CAPTURE(name);
      const converter::TemporaryFolder other;
      converter::CopyFolder(converter::TestData(std::string("vision/") + name), other.path());
      converter::WriteText(other / "preprocessor_config.json", size);
      CHECK(VisionModel(name, {}, other.path()).Compare(2).difference <= kRelativeTolerance);
    }
  }

  TEST_CASE("other models, and images that are too small, are refused with the size there is") {
    const auto refusal = [](const char* name, int64_t side) {
      const VisionModel model(name);
      const SessionPtr session = NewSession(model.model(), 1);
      const std::vector<float> pixels(static_cast<size_t>(3 * side * side));
      graft_tensor input = {};
      input.name = "pixel_values";
      input.rank = 3;
      input.shape[0] = 3;
      input.shape[1] = input.shape[2] = side;
      input.data = pixels.data();
      const graft_tensor* outputs = nullptr;
      size_t count = 0;
      graft_error error = {};
      CHECK(graft_session_forward(session.get(), &input, 1, &outputs, &count, &error) ==
            GRAFT_INVALID_ARGUMENT);
      return std::string(error.message);
    };
    CHECK(refusal("dinov2", 24).find("must have the shape [3, 16, 16], not [3, 24, 24]") !=
          std::string::npos);
    CHECK(refusal("swin", 24).find("must have the shape [3, 20, 20]") != std::string::npos);
    CHECK(refusal("convnext", 1).find("must have the shape [3, 20, 18]") != std::string::npos);
  }

  TEST_CASE("int8 and int4 outputs keep their direction") {
    if (kSomeOfAll) return;  // the ops are tested in these formats by themselves
    for (const std::string& name : Names()) {
      CAPTURE(name);
      for (const bool narrow : {false, true}) {
        const VisionModel model(name, {narrow ? converter::StorageKind::kInt4PerChannel
                                              : converter::StorageKind::kInt8PerChannel});
        CHECK(model.Compare(2).cosine >= (narrow ? 0.8 : 0.99));
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
