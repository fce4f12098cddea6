// SPDX-License-Identifier: Apache-2.0
// Settings of models of images that this version does not follow are refused by name; and the size
// of images is that of the files beside the model.
#include <string>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
namespace {

std::string Refusal(std::string_view name, std::string_view from, std::string_view to) {
  return EditedModel(name).Edit(from, to).Failure();
}

TEST_SUITE("converter/vision_settings") {
  TEST_CASE("classes and settings that are not followed are named") {
    CHECK(
        Contains(Refusal("vision/beit", "BeitForImageClassification", "BeitForMaskedImageModeling"),
                 "is BeitForMaskedImageModeling; of this family this version converts classes"));
    CHECK(
        Contains(Refusal("vision/resnet", R"("layer_type": "bottleneck")", R"("layer_type": "x")"),
                 "this version knows basic, bottleneck"));
    CHECK(Contains(Refusal("vision/swin", R"("window_size": 4)", R"("window_size": 12)"),
                   "is larger than the image of stage 0"));
    CHECK(Contains(Refusal("vision/convnext", R"("hidden_act": "gelu")", R"("hidden_act": "mish")"),
                   "'hidden_act' is \"mish\""));
    CHECK(Contains(
        Refusal("vision/segformer", R"("num_encoder_blocks": 4)", R"("num_encoder_blocks": 3)"),
        "has 4 numbers for 3 stages"));
    CHECK(Contains(
        Refusal("vision/mobilenet_v2", R"("depth_multiplier": 0.1)", R"("depth_multiplier": 0)"),
        "'depth_multiplier'"));
  }

  TEST_CASE("a model of any size takes the size that images are prepared to") {
    EditedModel model("vision/resnet");
    model.Write("preprocessor_config.json",
                R"({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 40},
                    "crop_pct": 0.875})");
    const LoadedModel loaded = model.Convert();
    const schema::fb::ImageInput& image = *loaded.model().task()->image();
    CHECK(image.height() == 40);
    CHECK(image.width() == 40);
    CHECK(image.resize_height() == 45);
    CHECK(image.resize_width() == 0);
    CHECK(image.filter() == schema::fb::ImageFilter::Bicubic);
    model.Remove("preprocessor_config.json");
    CHECK(model.Convert().model().task()->image()->height() == 224);
  }
}

}  // namespace
}  // namespace graft::converter
