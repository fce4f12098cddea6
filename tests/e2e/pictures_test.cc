// SPDX-License-Identifier: Apache-2.0
// Models of tests/data/pictures, converted here: pictures become the pixels, texts, logits and greedy
// tokens that transformers gives, with tokens in chunks of any size, after going back, and after a
// session was saved.
#include <algorithm>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "runtime/session/picture_images.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/e2e/converted_model.h"

namespace graft::test {
namespace {

namespace fb = schema::fb;

constexpr const char* kNames[] = {"gemma3", "smolvlm", "mistral3", "lfm2_vl", "qwen3_5"};
constexpr double kRelativeTolerance = 1e-4;  // of the largest logit; found: 1e-6

// As tests/data/pictures/make_pictures.py makes them.
class PixelsByFormula {
 public:
  PixelsByFormula(uint32_t width, uint32_t height)
      : width_(width), height_(height), bytes_(size_t{width} * height * 3) {
    for (uint64_t i = 0; i < bytes_.size(); ++i)
      bytes_[i] = static_cast<uint8_t>((i * 2654435761u >> 7) ^ (i * i * 40503u >> 11));
  }
  graft_image image() const { return {bytes_.data(), width_, height_, 0, GRAFT_IMAGE_RGB8}; }
  uint8_t* bytes() { return bytes_.data(); }

 private:
  uint32_t width_, height_;
  std::vector<uint8_t> bytes_;
};

// A model of the fixtures, and the three pictures of its conversation.
class Family : public ConvertedModel {
 public:
  explicit Family(const std::string& name, const converter::StoredFormat& format = {})
      : ConvertedModel(converter::TestData("pictures/" + name), format),
        pictures_{{61, 23}, {19, 88}, {40, 40}} {
    reference_ = std::move(converter::JsonDocument::Read(folder() / "reference.json")).value();
    for (const PixelsByFormula& pixels : pictures_) images.push_back(pixels.image());
  }

  std::filesystem::path file() const { return output("model.graft"); }
  std::string saved() const { return output("saved").string(); }
  uint8_t* bytes(size_t picture) { return pictures_[picture].bytes(); }
  std::string Text(const char* key) const { return reference_->root().GetString(key).value(); }
  SessionPtr NewSession(uint32_t chunk = 128) const {
    return ChunkedSession(model(), {.prefill_chunk = chunk, .context_tokens = 256});
  }
  void SetPictures(graft_session* session) const {
    graft_error error = {};
    const graft_status status =
        graft_session_set_pictures(session, images.data(), images.size(), &error);
    REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  }

  std::vector<graft_image> images;

 private:
  std::vector<PixelsByFormula> pictures_;
  std::unique_ptr<converter::JsonDocument> reference_;
};

struct Generated {
  graft_status status = GRAFT_OK;
  size_t reused = 0;
  std::vector<int32_t> ids;
  std::string message;
};

Generated Generate(graft_session* session, const std::vector<int32_t>& prompt) {
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = 8;
  options.whole_prompt = 1;
  options.ignore_end = 1;
  graft_generate_result result{};
  result.struct_size = sizeof(result);
  Generated generated;
  graft_error error = {};
  const auto listen = [](void* user, int32_t id, const char*, size_t) {
    if (id >= 0) static_cast<std::vector<int32_t>*>(user)->push_back(id);
    return 0;
  };
  generated.status = graft_session_generate(session, prompt.data(), prompt.size(), &options, listen,
                                            &generated.ids, &result, &error);
  generated.reused = result.reused_tokens;
  generated.message = error.message;
  return generated;
}

std::string Place(const Family& family, const std::string& text) {
  std::string placed(1 << 14, ' ');
  size_t size = 0;
  graft_error error = {};
  const graft_status status =
      graft_model_place_pictures(family.model(), text.data(), text.size(), family.images.data(),
                                 family.images.size(), placed.data(), placed.size(), &size, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  return placed.substr(0, size);
}

// Logits of all rows of one forward on ids and, if there are any, pixels, which may be patches of
// images of several grids.
std::vector<float> ForwardLogits(graft_session* session, const std::vector<int32_t>& ids,
                                 const Numbers* pixels, const std::vector<int32_t>& grids = {}) {
  std::vector<float> values;
  std::vector<graft_tensor> tensors = {
      {"input_ids", GRAFT_TYPE_I32, 1, {static_cast<int64_t>(ids.size())}, ids.data()}};
  if (pixels != nullptr) {
    values.assign(pixels->values.begin(), pixels->values.end());
    graft_tensor tensor = {"pixel_values",
                           GRAFT_TYPE_F32,
                           static_cast<uint32_t>(pixels->shape.size()),
                           {},
                           values.data()};
    std::copy(pixels->shape.begin(), pixels->shape.end(), tensor.shape);
    tensors.push_back(tensor);
  }
  if (pixels != nullptr && !grids.empty()) {
    tensors.push_back({"image_grid_thw",
                       GRAFT_TYPE_I32,
                       2,
                       {static_cast<int64_t>(grids.size()) / 3, 3},
                       grids.data()});
  }
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  const graft_status status =
      graft_session_forward(session, tensors.data(), tensors.size(), &outputs, &count, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  const auto* logits = static_cast<const float*>(outputs[0].data);
  return {logits, logits + outputs[0].shape[0] * outputs[0].shape[1]};
}

size_t FirstOf(const std::vector<int32_t>& ids, int32_t id, size_t skipped = 0) {
  size_t at = 0;
  for (; at < ids.size(); ++at) {
    if (ids[at] == id && skipped-- == 0) break;
  }
  return at;
}

constexpr int32_t kToken = 4;  // stands for pictures in all fixtures

}  // namespace

TEST_SUITE("e2e/pictures") {
  TEST_CASE("a conversation's text is that of template and processor") {
    for (const std::string name : kNames) {
      CAPTURE(name);
      const Family family(name);
      const graft_chat_message messages[] = {
          {"user", "what is this and that"}, {"assistant", "a cat"}, {"user", "and this"}};
      const size_t pictures[] = {2, 0, 1};
      graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
      options.message_pictures = pictures;
      std::string text(1024, ' ');
      size_t size = 0;
      REQUIRE(graft_model_render_chat(family.model(), messages, 3, &options, text.data(),
                                      text.size(), &size, nullptr) == GRAFT_OK);
      text.resize(size);
      CHECK(text == family.Text("rendered"));
      const std::string placed = Place(family, text);
      CHECK(placed == family.Text("text"));
      std::vector<int32_t> ids(512);
      size_t count = 0;
      REQUIRE(graft_model_tokenize(family.model(), placed.data(), placed.size(), 0, ids.data(),
                                   ids.size(), &count, nullptr) == GRAFT_OK);
      ids.resize(count);
      CHECK(ids == family.Read("input_ids").ids());
      // A text with no places gets them first; one with others is refused.
      CHECK(Place(family, "and this").ends_with("and this"));
      const std::string once = text.substr(text.size() - 70);
      CHECK(graft_model_place_pictures(family.model(), once.data(), once.size(),
                                       family.images.data(), 3, nullptr, 0, &size,
                                       nullptr) == GRAFT_INVALID_ARGUMENT);
    }
  }

  TEST_CASE("greedy tokens are transformers', in chunks of any size, and pictures are kept") {
    for (const std::string name : kNames) {
      CAPTURE(name);
      Family family(name);
      const std::vector<int32_t> prompt = family.Read("input_ids").ids();
      const std::vector<int32_t> expected = family.Read("greedy_ids").ids();
      for (const uint32_t chunk : {1u, 5u, 128u}) {
        CAPTURE(chunk);
        const SessionPtr session = family.NewSession(chunk);
        family.SetPictures(session.get());
        CHECK(Generate(session.get(), prompt).ids == expected);
        family.SetPictures(session.get());  // the same: nothing is forgotten
        const Generated again = Generate(session.get(), prompt);
        CHECK(again.reused + 1 == prompt.size());
        CHECK(again.ids == expected);
      }
      // Another second picture: what is before it stays, and back again gives the same.
      const SessionPtr session = family.NewSession();
      family.SetPictures(session.get());
      REQUIRE(Generate(session.get(), prompt).status == GRAFT_OK);
      family.bytes(1)[17] ^= 0xFF;
      family.SetPictures(session.get());
      const size_t rows_of_first = name == "smolvlm"   ? 28
                                   : name == "gemma3"  ? 4
                                   : name == "lfm2_vl" ? 15
                                   : name == "qwen3_5" ? 10
                                                       : 8;
      const Generated other = Generate(session.get(), prompt);
      CHECK(other.reused == FirstOf(prompt, kToken, rows_of_first));
      family.bytes(1)[17] ^= 0xFF;
      family.SetPictures(session.get());
      CHECK(Generate(session.get(), prompt).ids == expected);
    }
  }

  TEST_CASE("logits of ids and pixels are transformers'") {
    for (const std::string name : {"gemma3", "smolvlm", "qwen3_5"}) {  // others' differ in size
      CAPTURE(name);
      const Family family(name);
      const SessionPtr session = family.NewSession(name == "smolvlm" ? 128 : 7);
      const std::vector<int32_t> ids = family.Read("input_ids").ids();
      const Numbers expected = family.Read("logits");
      const Numbers pixels = family.Read("pixel_values");
      std::vector<int32_t> grids;
      if (name == "qwen3_5") grids = family.Read("image_grid_thw").ids();
      const std::vector<float> logits = ForwardLogits(session.get(), ids, &pixels, grids);
      CHECK(LargestDifference(logits, expected.values) <=
            kRelativeTolerance * LargestMagnitude(expected.values));
      // Without pixels the tokens are tokens like others.
      CHECK(Cosine(ForwardLogits(session.get(), ids, nullptr), expected.values) < 0.999);
      for (const auto format :
           {converter::StorageKind::kInt8PerChannel, converter::StorageKind::kInt4PerChannel}) {
        const Family narrow(name, {format});
        const SessionPtr rounded = narrow.NewSession();
        const double least = format == converter::StorageKind::kInt8PerChannel ? 0.99 : 0.8;
        CHECK(Cosine(ForwardLogits(rounded.get(), ids, &pixels, grids), expected.values) >= least);
      }
    }
  }

  TEST_CASE("a saved session knows its pictures") {
    for (const std::string name : kNames) {
      CAPTURE(name);
      Family family(name);
      const std::vector<int32_t> prompt = family.Read("input_ids").ids();
      const std::vector<int32_t> expected = family.Read("greedy_ids").ids();
      const SessionPtr session = family.NewSession();
      family.SetPictures(session.get());
      REQUIRE(Generate(session.get(), prompt).status == GRAFT_OK);
      REQUIRE(graft_session_save(session.get(), family.saved().c_str(), nullptr) == GRAFT_OK);
      const SessionPtr restored = family.NewSession();
      REQUIRE(graft_session_restore(restored.get(), family.saved().c_str(), nullptr) == GRAFT_OK);
      // States go back by what is computed again, which takes the pictures.
      if (name == "lfm2_vl" || name == "qwen3_5") family.SetPictures(restored.get());
      const Generated after = Generate(restored.get(), prompt);
      CHECK(after.reused + 1 == prompt.size());
      CHECK(after.ids == expected);
      // Before its pictures it can only go back once they are there again.
      REQUIRE(graft_session_restore(restored.get(), family.saved().c_str(), nullptr) == GRAFT_OK);
      REQUIRE(graft_session_rewind(restored.get(), 1, nullptr) == GRAFT_OK);
      const Generated lost = Generate(restored.get(), prompt);
      CHECK(lost.status == GRAFT_FAILED_PRECONDITION);
      CHECK(lost.message.find("set the pictures") != std::string::npos);
      family.SetPictures(restored.get());
      CHECK(Generate(restored.get(), prompt).ids == expected);
      // With others it forgets what was about the first ones.
      family.bytes(0)[3] ^= 0xFF;
      family.SetPictures(restored.get());
      CHECK(Generate(restored.get(), prompt).reused == FirstOf(prompt, kToken));
    }
  }

  TEST_CASE("a picture that is seen as a whole is never appended in part") {
    const Family family("gemma3");
    const std::vector<int32_t> ids = family.Read("input_ids").ids();
    const Numbers expected = family.Read("logits");
    const size_t first = FirstOf(ids, kToken);
    const SessionPtr session = family.NewSession(1);
    family.SetPictures(session.get());
    const float* logits = nullptr;
    graft_error error = {};
    REQUIRE(graft_session_append(session.get(), ids.data(), first + 2, &logits, &error) ==
            GRAFT_OK);
    CHECK(graft_session_append(session.get(), ids.data() + first + 2, 1, &logits, &error) ==
          GRAFT_INVALID_ARGUMENT);
    REQUIRE(graft_session_rewind(session.get(), first, &error) == GRAFT_OK);
    REQUIRE(graft_session_append(session.get(), ids.data() + first, ids.size() - first, &logits,
                                 &error) == GRAFT_OK);
    const auto vocabulary = static_cast<ptrdiff_t>(expected.shape.back());
    const std::vector<double> last(expected.values.end() - vocabulary, expected.values.end());
    CHECK(LargestDifference({logits, logits + vocabulary}, last) <=
          kRelativeTolerance * LargestMagnitude(expected.values));
  }

  TEST_CASE("what does not fit is refused, and nothing is lost") {
    const Family family("smolvlm");
    const std::vector<int32_t> ids = family.Read("input_ids").ids();
    const SessionPtr session = family.NewSession();
    family.SetPictures(session.get());
    graft_error error = {};
    const std::vector<graft_image> many(65, family.images[0]);
    CHECK(graft_session_set_pictures(session.get(), many.data(), 65, &error) == GRAFT_OUT_OF_RANGE);
    CHECK(graft_session_set_pictures(session.get(), many.data(), 20, &error) ==
          GRAFT_OUT_OF_RANGE);  // more tokens than the context
    graft_image broken = family.images[0];
    broken.width = 0;
    CHECK(graft_session_set_pictures(session.get(), &broken, 1, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(Generate(session.get(), ids).ids == family.Read("greedy_ids").ids());
    // Two pictures, and the text of three.
    REQUIRE(graft_session_set_pictures(session.get(), family.images.data(), 2, &error) == GRAFT_OK);
    const Generated fewer = Generate(session.get(), ids);
    CHECK(fewer.status == GRAFT_INVALID_ARGUMENT);
    // Pixels of other sides, and of none.
    Numbers pixels = family.Read("pixel_values");
    std::vector<float> values(3 * 8 * 16);
    graft_tensor inputs[] = {
        {"input_ids", GRAFT_TYPE_I32, 1, {static_cast<int64_t>(ids.size())}, ids.data()},
        {"pixel_values", GRAFT_TYPE_F32, 3, {3, 8, 16}, values.data()}};
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    CHECK(graft_session_forward(session.get(), inputs, 2, &outputs, &count, &error) ==
          GRAFT_INVALID_ARGUMENT);
    inputs[1].rank = 2;
    CHECK(graft_session_forward(session.get(), inputs, 2, &outputs, &count, &error) ==
          GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("pixels are those of transformers' processors") {
    for (const std::string name : {"gemma3", "smolvlm"}) {
      CAPTURE(name);
      Family family(name);
      const converter::LoadedModel loaded(family.file());
      const fb::Pictures& pictures = *loaded.model().task()->pictures();
      const Numbers expected = family.Read("pixel_values");
      size_t at = 0;
      for (const graft_image& image : family.images) {
        const runtime::ImageView view = {image.pixels, image.width, image.height, 0,
                                         runtime::PixelFormat::kRgb8};
        runtime::CallersPicture picture(pictures, view);
        REQUIRE(picture.Read().ok());
        for (size_t i = 0; i < picture.count(); ++i) {
          const auto pixels = picture.Prepare(i);
          REQUIRE(pixels.ok());
          float largest = 0.0f;
          for (size_t k = 0; k < size_t{3} * 16 * 16; ++k, ++at)
            largest = std::max(
                largest, std::abs(pixels->values[k] - static_cast<float>(expected.values[at])));
          CHECK(largest <= 1e-6f);  // a level of 255 is 8e-3
        }
      }
      CHECK(at == expected.values.size());
    }
  }

  TEST_CASE("patches of several frames are those of transformers' processor") {
    Family family("qwen3_5");
    const converter::LoadedModel loaded(family.file());
    const fb::Pictures& pictures = *loaded.model().task()->pictures();
    const Numbers expected = family.Read("pixel_values");
    runtime::SessionPictures of_model;
    of_model.Create(&pictures, 16, false, true);
    size_t at = 0;
    for (const graft_image& image : family.images) {
      const runtime::ImageView view = {image.pixels, image.width, image.height, 0,
                                       runtime::PixelFormat::kRgb8};
      runtime::CallersPicture picture(pictures, view);
      REQUIRE(picture.Read().ok());
      const auto pixels = picture.Prepare(0);
      REQUIRE(pixels.ok());
      std::vector<float> patches(size_t{2} * 3 * pixels->height * pixels->width);
      of_model.WritePatches(*pixels, patches.data(), nullptr);
      REQUIRE(at + patches.size() <= expected.values.size());
      float largest = 0.0f;
      for (const float number : patches)
        largest = std::max(largest, std::abs(number - static_cast<float>(expected.values[at++])));
      CHECK(largest <= 1e-6f);
    }
    CHECK(at == expected.values.size());
  }

  TEST_CASE("places of rows, and positions behind them, are counted from ids in any chunk") {
    const Family family("qwen3_5");
    const converter::LoadedModel loaded(family.file());
    runtime::SessionPictures pictures;
    pictures.Create(loaded.model().task()->pictures(), 16, false, true);
    runtime::MemoryBudget budget;
    const runtime::SavedPicture shapes[] = {{{}, 6, 3}, {{}, 2, 1}};  // rows, beside each other
    for (size_t i = 0; i < 2; ++i) {
      REQUIRE(pictures.Allocate(shapes[i].rows, &budget).ok());
      pictures.Assign(i, shapes[i]);
    }
    // The last 4 has no row left, and the 9 stands within a picture: both are words.
    const std::vector<int32_t> ids = {7, 4, 4, 4, 9, 4, 4, 4, 7, 4, 4, 4, 7};
    const std::vector<int32_t> expected = {0, 0, 0, 1, 1, 1, 1, 1, 2, 1, 1, 3, 4,
                                           4, 4, 1, 2, 1, 1, 2, 2, 1, 2, 3, 5, 5,
                                           5, 6, 6, 6, 6, 7, 6, 8, 8, 8, 9, 9, 9};
    for (size_t held = 0; held < ids.size(); ++held) {
      for (size_t count = 1; held + count <= ids.size(); ++count) {
        const auto pass =
            pictures.PassOver(std::span(ids).first(held), std::span(ids).subspan(held, count));
        REQUIRE(pass.ok());
        CHECK(std::equal(pass->axes, pass->axes + 3 * count,
                         expected.begin() + static_cast<ptrdiff_t>(3 * held)));
      }
    }
  }

  TEST_CASE("patches that are not all of still images are refused") {
    const Family family("qwen3_5");
    const std::vector<int32_t> ids = family.Read("input_ids").ids();
    const SessionPtr session = family.NewSession();
    const std::vector<float> values(size_t{8} * 96);
    const auto refusal = [&](std::vector<int32_t> grid, int64_t numbers = 96) {
      const graft_tensor inputs[] = {
          {"input_ids", GRAFT_TYPE_I32, 1, {static_cast<int64_t>(ids.size())}, ids.data()},
          {"pixel_values", GRAFT_TYPE_F32, 2, {768 / numbers, numbers}, values.data()},
          {"image_grid_thw",
           GRAFT_TYPE_I32,
           2,
           {static_cast<int64_t>(grid.size()) / 3, 3},
           grid.data()}};
      const graft_tensor* outputs = nullptr;
      size_t count = 0;
      graft_error error = {};
      CHECK(graft_session_forward(session.get(), inputs, grid.empty() ? 2 : 3, &outputs, &count,
                                  &error) == GRAFT_INVALID_ARGUMENT);
      return std::string(error.message);
    };
    const auto contains = [](const std::string& text, const char* part) {
      CAPTURE(text);
      CHECK(text.find(part) != std::string::npos);
    };
    contains(refusal({}), "of rank 2 must be");
    contains(refusal({1, 2, 2}, 48), "of rank 2 must be");
    contains(refusal({2, 2, 2}), "image 0 is 2 times");
    contains(refusal({1, 2, 4, 1, 2, 2}), "image 1 is");
    contains(refusal({1, 1 << 30, 1 << 30}), "image 0 is");
    contains(refusal({1, -2, -4}), "image 0 is");
    contains(refusal({1, 2, 2}), "4 patches more");
    contains(refusal({1, 1, 8}), "a multiple of 8");
    contains(refusal({1, 2, 4}), "tokens for pictures");
  }

  TEST_CASE("sizes are those of transformers' processors") {
    std::ifstream file(converter::TestData("pictures/sizes.txt"));
    std::string layout;
    uint32_t longest = 0, side = 0, width = 0, height = 0;
    runtime::PictureShape expected;
    int cases = 0;
    while (file >> layout >> longest >> side >> width >> height >> expected.first_height >>
           expected.first_width >> expected.height >> expected.width) {
      CAPTURE(layout);
      CAPTURE(longest);
      CAPTURE(width);
      CAPTURE(height);
      flatbuffers::FlatBufferBuilder builder;
      const bool tiles = layout == "tiles";
      const bool area = layout == "area";  // which has its fewest pixels in place of a width
      const uint32_t fewest = area ? std::exchange(expected.first_width, 0) : 0;
      const auto image = fb::CreateImageInput(builder, 3, side, side);
      const auto text = builder.CreateString("x");
      builder.Finish(fb::CreatePictures(builder, 0, tiles ? 1 : side, 1, side,
                                        tiles  ? fb::PictureLayout::Tiles
                                        : area ? fb::PictureLayout::Area
                                               : fb::PictureLayout::Grid,
                                        longest, image, text, text, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 1, fewest, longest));
      const auto* pictures = flatbuffers::GetRoot<fb::Pictures>(builder.GetBufferPointer());
      const runtime::PictureShape shape = runtime::ShapeOfPicture(*pictures, width, height);
      CHECK(shape.first_height == expected.first_height);
      CHECK(shape.first_width == expected.first_width);
      CHECK(shape.height == expected.height);
      CHECK(shape.width == expected.width);
      ++cases;
    }
    CHECK(cases > 100);
  }
}

}  // namespace graft::test
