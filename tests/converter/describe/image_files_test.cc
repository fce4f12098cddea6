// SPDX-License-Identifier: Apache-2.0
// preprocessor_config.json: what is read of it, what is usual without it, and what is refused.
#include "converter/describe/image_files.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "converter/merge/merge_checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

using Filter = ImagePreparation::Filter;

ImagePreparation Blank() {
  ImagePreparation image;
  image.channels = 3;
  image.height = image.width = 32;
  return image;
}

Status Parse(std::string_view text, ImagePreparation* image) {
  *image = Blank();
  const auto document = JsonDocument::Parse(text, "preprocessor_config.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  return ParseImagePreparation((*document)->root(), image);
}

ImagePreparation Read(std::string_view text) {
  ImagePreparation image;
  const Status status = Parse(text, &image);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return image;
}

std::string Fault(std::string_view text, StatusCode code) {
  ImagePreparation image;
  const Status status = Parse(text, &image);
  CHECK(status.code() == code);
  return std::string(status.message());
}

bool Says(const std::string& message, std::initializer_list<const char*> words) {
  return std::all_of(words.begin(), words.end(),
                     [&](const char* word) { return message.find(word) != std::string::npos; });
}

const std::vector<float> kHalf = {0.5f, 0.5f, 0.5f};

}  // namespace

TEST_SUITE("converter/image_files") {
  TEST_CASE("reads sizes in all their forms") {
    CHECK(Read(R"({"size": 32})").resize_width == 32);
    CHECK(Read(R"({"size": {"height": 32, "width": 32}})").resize_height == 32);
    const ImagePreparation shorter = Read(
        R"({"size": {"shortest_edge": 40, "longest_edge": null}, "do_center_crop": true, "crop_size": 32})");
    CHECK(shorter.resize_height == 40);
    CHECK(shorter.resize_width == 0);
    CHECK(Read(R"({"size": 40, "default_to_square": false, "do_center_crop": true,
                   "crop_size": {"height": 32, "width": 32}})")
              .resize_width == 0);
    CHECK(Read(R"({"do_resize": false, "size": 99})").resize_height == 0);
  }

  TEST_CASE("takes what the class takes where the file is silent") {
    const ImagePreparation vit =
        Read(R"({"feature_extractor_type": "ViTFeatureExtractor", "size": 32})");
    CHECK(vit.filter == Filter::kBilinear);
    CHECK(vit.rescale == 1.0 / 255);
    CHECK(vit.mean == kHalf);
    CHECK(vit.deviation == kHalf);
    const ImagePreparation deit =
        Read(R"({"image_processor_type": "DeiTImageProcessorFast", "crop_size": 32})");
    CHECK(deit.filter == Filter::kBicubic);
    CHECK(deit.resize_height == 256);
  }

  TEST_CASE("reads how pixels become numbers") {
    const ImagePreparation own = Read(
        R"({"size": 32, "resample": 0, "rescale_factor": 0.25, "image_mean": [1, 2, 3], "image_std": 4})");
    CHECK(own.filter == Filter::kNearest);
    CHECK(Read(R"({"size": 32, "resample": 1})").filter == Filter::kLanczos);
    CHECK(own.rescale == 0.25);
    CHECK(own.mean == std::vector<float>{1, 2, 3});
    CHECK(own.deviation == std::vector<float>{4, 4, 4});
    const ImagePreparation bare =
        Read(R"({"size": 32, "do_rescale": false, "do_normalize": false, "image_std": [0, 0, 0]})");
    CHECK(bare.rescale == 1.0);
    CHECK(bare.mean.empty());
    CHECK(bare.deviation.empty());
  }

  TEST_CASE("refuses what it does not compute, by name") {
    constexpr auto kUnsupported = StatusCode::kUnsupported;
    CHECK(Says(Fault(R"({"size": 32, "do_pad": true})", kUnsupported),
               {"preprocessor_config.json", "'do_pad' is true"}));
    CHECK(Says(Fault(R"({"size": 32, "crop_pct": 0.9})", kUnsupported), {"crop_pct", "0.9"}));
    CHECK(Says(Fault(R"({"size": 32, "resample": 4})", kUnsupported), {"'resample' is 4"}));
    CHECK(Says(Fault(R"({"size": {"longest_edge": 32}})", kUnsupported), {"size.longest_edge"}));
    CHECK(Says(Fault(R"({"image_processor_type": "LevitImageProcessor"})", kUnsupported),
               {"LevitImageProcessor", "ViT, DeiT"}));
    CHECK(Read(R"({"size": 32, "do_pad": false, "do_flip_channel_order": null})").height == 32);
  }

  TEST_CASE("refuses images of another size than the model's") {
    constexpr auto kMismatch = StatusCode::kMismatch;
    CHECK(Says(Fault("{}", kMismatch), {"'size'", "224x224", "32x32"}));
    CHECK(Says(Fault(R"({"size": {"shortest_edge": 32}})", kMismatch), {"shorter side is 32"}));
    CHECK(Says(Fault(R"({"size": 32, "do_center_crop": true, "crop_size": 30})", kMismatch),
               {"'crop_size'", "30x30"}));
  }

  TEST_CASE("refuses numbers that mean nothing") {
    constexpr auto kCorrupt = StatusCode::kCorrupt;
    CHECK(Says(Fault(R"({"size": 100000})", kCorrupt), {"size", "16384"}));
    CHECK(Says(Fault(R"({"size": 0})", kCorrupt), {"size"}));
    CHECK(Says(Fault(R"({"size": 32, "image_std": [1, 0, 1]})", kCorrupt), {"image_std", "0"}));
    CHECK(Says(Fault(R"({"size": 32, "image_mean": [1, 1]})", kCorrupt), {"2 numbers", "3"}));
    CHECK(Says(Fault(R"({"size": 32, "image_mean": [1e99, 1, 1]})", kCorrupt), {"finite"}));
    CHECK(Says(Fault(R"({"size": 32, "rescale_factor": 1e300})", kCorrupt), {"rescale_factor"}));
    CHECK(Says(Fault(R"({"size": "large"})", kCorrupt), {"size"}));
  }

  TEST_CASE("without a file images are prepared as is usual for ViT") {
    const TemporaryFolder folder;
    ImagePreparation image = Blank();
    REQUIRE(ReadImagePreparation(folder.path(), &image).ok());
    CHECK(image.source.empty());
    CHECK(image.resize_height == 32);
    CHECK(image.filter == Filter::kBilinear);
    CHECK(image.mean == kHalf);
    CHECK(Says(DescribePreparation(image), {"32x32 (bilinear)", "mean 0.5 0.5 0.5"}));
  }

  TEST_CASE("an adapter's own image processor takes the place of the base's, merged or converted") {
    const TemporaryFolder work;
    CopyFolder(TestData("adapters") / "base_vit", work / "base");
    CopyFolder(TestData("adapters") / "vit_qkv", work / "adapter");
    WriteText(work / "base" / "preprocessor_config.json", R"({"size": 32, "resample": 2})");
    WriteText(work / "adapter" / "preprocessor_config.json", R"({"size": 32, "resample": 3})");
    const auto converted = ConvertModel(
        {work / "base", work / "adapter", StoredFormat{StorageKind::kFloat32}, work / "a.graft"});
    REQUIRE_MESSAGE(converted.ok(), converted.status().message());
    const LoadedModel model(work / "a.graft");
    CHECK(model.model().task()->image()->filter() == schema::fb::ImageFilter::Bicubic);

    MergeRequest merge;
    merge.base = work / "base";
    merge.adapters = {{work / "adapter", 1}};
    merge.output = work / "merged";
    const auto merged = MergeCheckpoint(merge);
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    CHECK(ReadBytes(work / "merged" / "preprocessor_config.json") ==
          ReadBytes(work / "adapter" / "preprocessor_config.json"));

    CopyFolder(work / "adapter", work / "other");
    WriteText(work / "other" / "preprocessor_config.json", R"({"size": 32})");
    merge.adapters.push_back({work / "other", 1});
    merge.output = work / "both";
    const auto refused = MergeCheckpoint(merge);
    CHECK(refused.status().code() == StatusCode::kMismatch);
    CHECK(Says(std::string(refused.status().message()), {"different image processors"}));
  }
}

}  // namespace graft::converter
