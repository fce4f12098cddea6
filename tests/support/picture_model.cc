// SPDX-License-Identifier: Apache-2.0
#include "tests/support/picture_model.h"

#include <cmath>
#include <vector>

namespace graft::test {
namespace {

constexpr int64_t kWidth = 8;

flatbuffers::Offset<fb::Pictures> PicturesOf(const PictureModel& m,
                                             flatbuffers::FlatBufferBuilder& b) {
  const std::vector<float> mean(m.channels, 0.5f);
  const std::vector<float> deviations(m.channels, m.deviation);
  const auto means = b.CreateVector(mean);
  const auto divisors = b.CreateVector(deviations);
  const auto image = fb::CreateImageInput(b, m.channels, m.height, m.width, 0, 0,
                                          fb::ImageFilter::Lanczos, 1.0f / 255, means, divisors);
  const auto placeholder = b.CreateString(m.placeholder);
  const auto token_text = b.CreateString(m.token_text);
  const auto begin = b.CreateString(m.begin);
  const auto tile = b.CreateString("<{row},{column}>");
  return fb::CreatePictures(b, m.token, m.patch, m.merge, m.side, m.layout, m.longest_side, image,
                            placeholder, token_text, begin, begin, begin, tile, begin, begin, begin,
                            m.most_patches, 0, 0, 0, 0, 0, 0.0f, m.frames, m.fewest_pixels,
                            m.most_pixels);
}

}  // namespace

AlignedBytes PictureModel::Build() const {
  ModelBuilder model;
  auto& b = model.builder();
  const auto tokens = Symbolic(model.Symbol("sequence"));
  const auto outputs = Symbolic(model.Symbol("output_rows"));
  const auto patches = patches_of_tokens ? tokens : Symbolic(model.Symbol("patches"));
  const auto own = Symbolic(model.Symbol("image_rows"));
  const auto rows = rows_of_tokens ? tokens : rows_of_patches ? patches : own;
  std::vector<float> numbers(kVocabulary * kWidth * 4);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = std::sin(static_cast<float>(i * i % 10007));
  const auto matrix = [&](const char* name, int64_t out, int64_t in) {
    return model.FloatTensor(name, {out, in},
                             std::span(numbers).first(static_cast<size_t>(out * in)));
  };
  const auto linear = [&](const char* name, int32_t x, int32_t y, int64_t out, int64_t in) {
    model.Op(name, {x}, {y}, fb::OpAttributes::Linear,
             fb::CreateLinear(b, matrix(name, out, in)).Union());
  };
  const auto value = [&](const char* name, const fb::Dimension& of, int64_t width) {
    return model.Value(name, {of, Fixed(width)});
  };
  const int32_t ids = model.Input("input_ids", {tokens}, fb::InputRole::TokenIds);
  const int32_t positions = model.Input("positions", {tokens}, fb::InputRole::Positions);
  const int32_t wanted = model.Input("output_rows", {outputs}, fb::InputRole::OutputRows);
  const int32_t pixels = model.Input("pixel_values", {patches, Fixed(patch_width)}, patches_role,
                                     fb::ElementType::Float32);
  const int32_t places =
      model.Input("places", {places_of_tokens ? tokens : patches}, fb::InputRole::ImagePositions);
  if (extra_tensor)
    model.Input("extra", {Fixed(2), Fixed(2)}, fb::InputRole::Tensor, fb::ElementType::Float32);

  const int32_t seen = value("seen", patches, kWidth);
  linear("see", pixels, seen, kWidth, patch_width);
  const int32_t placed = value("placed", patches, kWidth);
  model.Op("places", {places}, {placed}, fb::OpAttributes::Embedding,
           fb::CreateEmbedding(b, matrix("place_table", 16, kWidth)).Union());
  const int32_t sum = value("sum", patches, kWidth);
  model.Op("add", {seen, placed}, {sum}, fb::OpAttributes::Add, fb::CreateAdd(b).Union());
  const auto turn = [&](const char* name, int32_t x_in, int32_t by, const fb::Dimension& of,
                        const std::vector<uint8_t>& axes_of) {
    const int32_t turned = value(name, of, kWidth);
    const int32_t frequencies = model.FloatTensor(std::string(name) + "_frequencies", {2},
                                                  std::span(numbers).subspan(1, 2));
    const auto by_axes = b.CreateVector(axes_of);
    model.Op(name, {x_in, by}, {turned}, fb::OpAttributes::Rope,
             fb::CreateRope(b, frequencies, 4, 4, false, 1.0f, 0, 0.0f, 0, -1, by_axes).Union());
    return turned;
  };
  const int32_t seen_rows =
      patch_axes ? turn("turn_patches", sum, places, patches, {patch_axis, 2}) : sum;
  const int32_t looked = value("looked", patches, kWidth);
  model.Op("look", {seen_rows, seen_rows, seen_rows}, {looked}, fb::OpAttributes::Attention,
           fb::CreateAttention(b, 2, 2, 4, 0.5f).Union());
  const int32_t x = value("x", tokens, kWidth);
  const int32_t table = matrix("table", kVocabulary, kWidth);
  model.Op("embed", {ids}, {x}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, table).Union());
  const int32_t merged = value("merged", rows, merged_width);
  model.Op("merge", {merges_tokens ? x : looked}, {merged}, fb::OpAttributes::MergePatches,
           fb::CreateMergePatches(b, count, mean).Union());
  if (merges_twice) {
    const int32_t other = value("merged_again", rows, 2 * kWidth);
    model.Op("merge_again", {looked}, {other}, fb::OpAttributes::MergePatches,
             fb::CreateMergePatches(b, 2).Union());
  }
  const int32_t image_rows = value("image_rows", rows, kWidth);
  linear("project", merged, image_rows, kWidth, merged_width);
  int32_t mixed = x;
  for (int i = 0; i < (has_place ? places_twice ? 2 : 1 : 0); ++i) {
    const int32_t next = value(i == 0 ? "mixed" : "mixed_again", tokens, kWidth);
    model.Op("place", {mixed, places_patches ? looked : image_rows}, {next},
             fb::OpAttributes::PlaceImages, fb::CreatePlaceImages(b).Union());
    mixed = next;
  }
  if (axes) mixed = turn("turn", mixed, positions, tokens, {1, 2});
  const int32_t attended = value("attended", tokens, kWidth);
  const int32_t cache = causal ? model.KvCache(2, 4) : -1;
  std::vector<int32_t> operands = {mixed, mixed, mixed};
  if (causal) operands.push_back(positions);
  model.Op("attend", operands, {attended}, fb::OpAttributes::Attention,
           fb::CreateAttention(b, 2, 2, 4, 0.5f, 0.0f, 0, cache, causal, -1, 1.0f, false, -1, 0,
                               false, 0, -1, -1, 0, 0, runs)
               .Union());
  const int32_t selected = value("selected", outputs, kWidth);
  model.Op("select", {attended, wanted}, {selected}, fb::OpAttributes::SelectRows,
           fb::CreateSelectRows(b).Union());
  const int32_t logits = value("logits", outputs, kVocabulary);
  linear("head", selected, logits, kVocabulary, kWidth);
  model.Output(logits);
  if (output_of_image) model.Output(image_rows);
  model.SetTask(task, 64, {0});
  if (has_pictures) model.SetPictures(PicturesOf(*this, b));
  return model.Finish();
}

}  // namespace graft::test
