// SPDX-License-Identifier: Apache-2.0
// Images are resized to the pixels that Pillow gives, cut as transformers cuts, and never read
// beyond their rows.
#include "runtime/image/prepare_image.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

struct Input {
  uint32_t channels = 3, height = 1, width = 1;
  uint32_t resize_height = 0, resize_width = 0;
  fb::ImageFilter filter = fb::ImageFilter::Bilinear;
  float rescale = 1.0f;
  std::vector<float> mean = {}, deviation = {};
};

struct Outcome {
  Status status;
  std::vector<float> values;
};

Outcome Prepare(const Input& in, const ImageView& image) {
  flatbuffers::FlatBufferBuilder builder;
  const auto mean = builder.CreateVector(in.mean);
  const auto deviation = builder.CreateVector(in.deviation);
  builder.Finish(fb::CreateImageInput(builder, in.channels, in.height, in.width, in.resize_height,
                                      in.resize_width, in.filter, in.rescale, mean, deviation));
  const auto* input = flatbuffers::GetRoot<fb::ImageInput>(builder.GetBufferPointer());
  Outcome outcome;
  outcome.values.resize(PreparedSize(*input));
  outcome.status = PrepareImage(*input, image, outcome.values);
  return outcome;
}

// As tests/data/images/make_references.py makes them.
std::vector<uint8_t> PixelsByFormula(size_t count) {
  std::vector<uint8_t> pixels(count);
  for (uint64_t i = 0; i < count; ++i)
    pixels[i] = static_cast<uint8_t>((i * 2654435761u >> 7) ^ (i * i * 40503u >> 11));
  return pixels;
}

PixelFormat FormatOf(int channels) {
  return channels == 1   ? PixelFormat::kGray8
         : channels == 3 ? PixelFormat::kRgb8
                         : PixelFormat::kRgba8;
}

// [height, width, channels] as hexadecimal digits.
std::string Hexadecimal(const Input& in, const std::vector<float>& values) {
  constexpr char kDigits[] = "0123456789abcdef";
  const size_t plane = size_t{in.height} * in.width;
  std::string text;
  for (size_t pixel = 0; pixel < plane; ++pixel) {
    for (uint32_t channel = 0; channel < in.channels; ++channel) {
      const auto value = static_cast<unsigned>(values[channel * plane + pixel]);
      text += kDigits[value >> 4];
      text += kDigits[value & 15];
    }
  }
  return text;
}

}  // namespace

TEST_SUITE("runtime/prepare_image") {
  TEST_CASE("resized pixels are Pillow's, to the bit") {
    std::ifstream file(std::string(GRAFT_TEST_DATA) + "/images/resized.txt");
    uint32_t width = 0, height = 0;
    int channels = 0, cases = 0;
    std::string filter, expected;
    Input in;
    while (file >> width >> height >> channels >> in.channels >> filter >> in.height >> in.width >>
           expected) {
      CAPTURE(width);
      CAPTURE(height);
      CAPTURE(in.width);
      CAPTURE(in.height);
      CAPTURE(filter);
      in.filter = filter == "nearest"    ? fb::ImageFilter::Nearest
                  : filter == "bilinear" ? fb::ImageFilter::Bilinear
                                         : fb::ImageFilter::Bicubic;
      in.resize_height = in.height;
      in.resize_width = in.width;
      const size_t row_bytes = size_t{width} * static_cast<size_t>(channels);
      const std::vector<uint8_t> dense = PixelsByFormula(row_bytes * height);
      const Outcome outcome = Prepare(in, {dense.data(), width, height, 0, FormatOf(channels)});
      REQUIRE_MESSAGE(outcome.status.ok(), outcome.status.message());
      CHECK(Hexadecimal(in, outcome.values) == expected);
      // Rows further apart, the last of which ends where the image does.
      std::vector<uint8_t> sparse((row_bytes + 5) * (height - 1) + row_bytes, 99);
      for (size_t y = 0; y < height; ++y)
        std::copy_n(dense.data() + y * row_bytes, row_bytes, sparse.data() + y * (row_bytes + 5));
      CHECK(Prepare(in, {sparse.data(), width, height, row_bytes + 5, FormatOf(channels)}).values ==
            outcome.values);
      ++cases;
    }
    CHECK(cases == 42);
  }

  TEST_CASE("is cut out of the middle, and surrounded by black that is normalized too") {
    const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6};
    Input in;
    in.channels = 1;
    in.height = 4;
    in.width = 1;
    in.rescale = 2.0f;
    in.mean = {1.0f};
    in.deviation = {4.0f};
    const ImageView image{pixels.data(), 2, 3, 0, PixelFormat::kGray8};
    const Outcome outcome = Prepare(in, image);
    REQUIRE(outcome.status.ok());
    // transformers puts the odd row of black above, and takes the left of two middle columns.
    CHECK(outcome.values == std::vector<float>{-0.25f, 0.25f, 1.25f, 2.25f});
  }

  TEST_CASE("the shorter side is resized, and the longer rounded down") {
    // 10 x 7 with the shorter side at 5 is 7.14 x 5, so 7 columns: the middle one of 7.
    std::vector<uint8_t> pixels(70);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i % 10 * 20);
    Input in;
    in.channels = 1;
    in.height = 5;
    in.width = 7;
    in.resize_height = 5;
    in.filter = fb::ImageFilter::Nearest;
    const Outcome outcome = Prepare(in, {pixels.data(), 10, 7, 0, PixelFormat::kGray8});
    REQUIRE(outcome.status.ok());
    const std::vector<float> row(outcome.values.begin(), outcome.values.begin() + 7);
    CHECK(row == std::vector<float>{0, 40, 60, 100, 120, 140, 180});
  }

  TEST_CASE("one pixel and long lines become any size") {
    std::vector<uint8_t> line(16384 * 3, 200);
    Input in;
    in.height = 3;
    in.width = 50;
    in.resize_height = 16384;  // of the shorter side: the longer one would be 2^28 pixels
    for (const auto& [width, height] : {std::pair(1u, 16384u), std::pair(16384u, 1u)}) {
      for (const auto filter :
           {fb::ImageFilter::Nearest, fb::ImageFilter::Bilinear, fb::ImageFilter::Bicubic}) {
        in.filter = filter;
        const Outcome outcome = Prepare(in, {line.data(), width, height, 0, PixelFormat::kRgb8});
        REQUIRE(outcome.status.ok());
        CHECK(outcome.values == std::vector<float>(450, 200.0f));
      }
    }
  }

  TEST_CASE("refuses what is no image") {
    const std::vector<uint8_t> pixels(12);
    const auto refused = [&](const ImageView& image) {
      const Outcome outcome = Prepare(Input{}, image);
      CHECK(outcome.status.code() == StatusCode::kInvalidArgument);
      return std::string(outcome.status.message());
    };
    const uint8_t* data = pixels.data();
    CHECK(refused({data, 0, 5, 0, PixelFormat::kRgb8}).find("0 x 5 pixels") != std::string::npos);
    CHECK(refused({data, 2, 100000, 0, PixelFormat::kRgb8}).find("1 to 16384") !=
          std::string::npos);
    CHECK(refused({data, 2, 2, 5, PixelFormat::kRgb8}).find("5 bytes apart, but have 6") !=
          std::string::npos);
    CHECK(refused({data, 2, 2, 0, static_cast<PixelFormat>(7)}).find("format 7") !=
          std::string::npos);
    CHECK(refused({nullptr, 2, 2, 0, PixelFormat::kRgb8}).find("NULL") != std::string::npos);
  }
}

}  // namespace graft::runtime
