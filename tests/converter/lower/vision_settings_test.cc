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

  TEST_CASE("processors of pictures in texts are followed, or named") {
    const auto refusal = [](const char* name, const char* from, const char* to) {
      EditedModel model(std::string("pictures/") + name);
      EditFile(model.path() / "preprocessor_config.json", from, to);
      return model.Failure();
    };
    CHECK(Contains(refusal("gemma3", "Gemma3ImageProcessor", "SiglipImageProcessor"),
                   "which is not the family's; --text-only"));
    CHECK(Contains(refusal("gemma3", R"("do_resize": true)", R"("do_resize": false)"),
                   "'do_resize' is false, which is not computed"));
    CHECK(Contains(refusal("gemma3", R"("do_resize": true)", R"("do_pan_and_scan": true)"),
                   "'do_pan_and_scan' is true, which is not computed"));
    CHECK(Contains(refusal("gemma3", R"("height": 16)", R"("height": 24)"),
                   "makes images of 24 a side, but the model takes 16"));
    CHECK(Contains(
        refusal("smolvlm", R"("do_image_splitting": true)", R"("do_image_splitting": false)"),
        "'do_image_splitting' is false, which is not computed"));
    CHECK(Contains(refusal("smolvlm", R"("longest_edge": 48)", R"("longest_edge": 400)"),
                   "makes images of up to 400 a side, more than the model's 16 allow"));
    CHECK(Contains(refusal("mistral3", R"("longest_edge": 28)", R"("longest_edge": 33)"),
                   "makes images of up to 33 a side, more than the model's 32 allow"));
    CHECK(Contains(refusal("mistral3", R"("resample": 3)", R"("resample": 5)"), "is 5; this"));
    CHECK(Contains(EditedModel("pictures/mistral3")
                       .Edit(R"("vision_feature_layer": -1)", R"("vision_feature_layer": [1, 2])")
                       .Failure(),
                   "this version takes the features of one"));
    CHECK(Contains(EditedModel("pictures/mistral3")
                       .Edit(R"("image_size": 32)", R"("image_size": 16384)")
                       .Failure(),
                   "makes 4096 patches a side"));
    CHECK(Contains(EditedModel("pictures/mistral3")
                       .Edit(R"("spatial_merge_size": 2)", R"("spatial_merge_size": 4)")
                       .Failure(),
                   "merging_layer"));
    CHECK(Contains(EditedModel("pictures/gemma3")
                       .Edit(R"("mm_tokens_per_image": 4)", R"("mm_tokens_per_image": 9)")
                       .Failure(),
                   "mm_tokens_per_image does not divide"));
    CHECK(Contains(EditedModel("pictures/smolvlm")
                       .Edit(R"("scale_factor": 2)", R"("scale_factor": 3)")
                       .Failure(),
                   "which do not merge by 3"));
  }

  TEST_CASE("what sees is in the file unless it is not wanted or not there") {
    const LoadedModel whole = EditedModel("pictures/gemma3").Convert();
    REQUIRE(whole.model().task()->pictures() != nullptr);
    CHECK(whole.FindTensor("vision_tower.post_layernorm.weight") != nullptr);
    CHECK(whole.model().task()->pictures()->token() == 4);
    const TemporaryFolder folder;
    ConvertRequest request;
    request.base = TestData("pictures/gemma3");
    request.output = folder / "text.graft";
    request.text_only = true;
    REQUIRE(ConvertModel(request).ok());
    const LoadedModel text(folder / "text.graft");
    CHECK(text.model().task()->pictures() == nullptr);
    CHECK(text.FindTensor("vision_tower.post_layernorm.weight") == nullptr);
  }
}

}  // namespace
}  // namespace graft::converter
