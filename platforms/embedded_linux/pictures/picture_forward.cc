// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/pictures/picture_forward.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/safetensors.h"
#include "platforms/embedded_linux/model/model_handle.h"

namespace graft_run {
namespace {

constexpr const char* kIds = "input_ids";
constexpr const char* kImageIds = "image_input_ids";
constexpr const char* kPixels = "pixel_values";
constexpr const char* kGrids = "image_grid_thw";

/// Outputs of all calls, kept until the file is written.
struct Outputs {
  std::vector<TensorEntry> entries;
  std::vector<std::vector<float>> values;
};

// ids of one text, [tokens] or [1, tokens].
bool ReadIds(const SafetensorsReader& reader, const TensorEntry& entry, const std::string& file,
             std::vector<int32_t>* ids) {
  if (entry.shape.empty() || entry.shape.size() > 2 ||
      (entry.shape.size() == 2 && entry.shape[0] != 1) || entry.shape.back() < 1) {
    Fail(file, "tensor " + entry.name + " must be one text's ids, [tokens] or [1, tokens]");
    return false;
  }
  return reader.ReadIntegers(entry, ids);
}

/// What is computed in one call.
struct TextWithPixels {
  const TensorEntry* text = nullptr;
  const TensorEntry* pixels = nullptr;  // null: none
  const TensorEntry* shapes =
      nullptr;  // of pixels as rows of patches: rows and columns of each image
  const TensorEntry* grids = nullptr;  // of pixels as patches of all images: [images, 3]
  const char* prefix = "";
};

/// Images of one size.
struct Images {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// Rows of patches, [images, patches, patch * patch * channels], as [images, channels, height, width].
// A patch's numbers are in the order row, column, channel.
bool TakePatches(const std::string& file, const graft_model* model, const TensorEntry& entry,
                 const std::vector<int32_t>& shapes, Images* images) {
  graft_tensor wanted{};
  if (entry.shape.size() != 3 || shapes.size() != static_cast<size_t>(entry.shape[0]) * 2 ||
      graft_model_get_input(model, 1, &wanted, nullptr) != GRAFT_OK || wanted.rank != 4) {
    Fail(file, "tensor pixel_values must be [images, patches, numbers], with a shape for each");
    return false;
  }
  const int64_t channels = wanted.shape[1];
  int64_t patch = 1;
  while (patch * patch * channels < entry.shape[2]) ++patch;
  const int64_t rows = shapes[0];
  const int64_t columns = shapes[1];
  bool fits = patch * patch * channels == entry.shape[2] && rows >= 1 && columns >= 1 &&
              rows * columns <= entry.shape[1];
  for (size_t i = 0; i < shapes.size(); ++i) fits = fits && shapes[i] == shapes[i % 2];
  if (!fits) {
    Fail(file, "pixel_values and the images' shapes do not fit each other, or shapes differ");
    return false;
  }
  const int64_t height = rows * patch;
  const int64_t width = columns * patch;
  std::vector<float> planes(static_cast<size_t>(entry.shape[0] * channels * height * width));
  for (size_t at = 0; at < planes.size(); ++at) {
    const auto index = static_cast<int64_t>(at);
    const int64_t x = index % width;
    const int64_t y = index / width % height;
    const int64_t channel = index / (width * height) % channels;
    const int64_t image = index / (width * height * channels);
    const int64_t row = y / patch * columns + x / patch;
    const int64_t number = (y % patch * patch + x % patch) * channels + channel;
    planes[at] =
        images
            ->values[static_cast<size_t>((image * entry.shape[1] + row) * entry.shape[2] + number)];
  }
  images->values = std::move(planes);
  images->shape = {entry.shape[0], channels, height, width};
  return true;
}

bool ReadImages(const SafetensorsReader& reader, const std::string& file, const graft_model* model,
                const TextWithPixels& call, Images* images) {
  const TensorEntry& entry = *call.pixels;
  if (entry.shape.empty() || entry.shape.size() > GRAFT_MAX_RANK || entry.begin == entry.end) {
    Fail(file, "tensor pixel_values is empty, or has too many dimensions");
    return false;
  }
  images->shape = entry.shape;
  if (!reader.ReadReals(entry, &images->values)) return false;
  if (call.shapes == nullptr) return true;
  std::vector<int32_t> shapes;
  return reader.ReadIntegers(*call.shapes, &shapes) &&
         TakePatches(file, model, entry, shapes, images);
}

bool Compute(const std::string& model_file, const graft_model* model, graft_session* session,
             const SafetensorsReader& reader, const std::string& file, const TextWithPixels& call,
             Outputs* outputs) {
  const TensorEntry& text = *call.text;
  std::vector<int32_t> ids;
  Images images;
  if (!ReadIds(reader, text, file, &ids)) return false;
  std::vector<graft_tensor> tensors(1);
  tensors[0] = {kIds, GRAFT_TYPE_I32, 1, {static_cast<int64_t>(ids.size())}, ids.data()};
  if (call.pixels != nullptr) {
    if (!ReadImages(reader, file, model, call, &images)) return false;
    graft_tensor tensor = {kPixels,
                           GRAFT_TYPE_F32,
                           static_cast<uint32_t>(images.shape.size()),
                           {},
                           images.values.data()};
    std::copy(images.shape.begin(), images.shape.end(), tensor.shape);
    tensors.push_back(tensor);
  }
  std::vector<int32_t> grids;
  if (call.pixels != nullptr && call.grids != nullptr) {
    if (!reader.ReadIntegers(*call.grids, &grids)) return false;
    tensors.push_back(
        {kGrids, GRAFT_TYPE_I32, 2, {static_cast<int64_t>(grids.size()) / 3, 3}, grids.data()});
  }
  const graft_tensor* computed = nullptr;
  size_t count = 0;
  graft_error error{};
  if (graft_session_forward(session, tensors.data(), tensors.size(), &computed, &count, &error) !=
      GRAFT_OK) {
    FailCall(model_file, error);
    return false;
  }
  for (size_t i = 0; i < count; ++i) {
    TensorEntry entry;
    entry.name = std::string(call.prefix) + computed[i].name;
    entry.dtype = "F32";
    if (text.shape.size() == 2) entry.shape.push_back(1);
    uint64_t elements = 1;
    for (uint32_t d = 0; d < computed[i].rank; ++d) {
      entry.shape.push_back(computed[i].shape[d]);
      elements *= static_cast<uint64_t>(computed[i].shape[d]);
    }
    const auto* from = static_cast<const float*>(computed[i].data);
    outputs->values.emplace_back(from, from + elements);
    outputs->entries.push_back(std::move(entry));
  }
  return true;
}

}  // namespace

int ForwardWithPictures(const std::string& model_file, const graft_model* model,
                        graft_session* session, const std::string& input_file,
                        const std::string& output_file) {
  SafetensorsReader reader;
  if (!reader.Open(input_file)) return kExitFailure;
  const TensorEntry* text = reader.Find(kIds);
  const TensorEntry* image_text = reader.Find(kImageIds);
  const TensorEntry* pixels = reader.Find(kPixels);
  const TensorEntry* shapes = reader.Find("image_spatial_shapes");
  if (shapes == nullptr) shapes = reader.Find("spatial_shapes");
  const TensorEntry* grids = reader.Find(std::string("image_") + kGrids);
  if (grids == nullptr) grids = reader.Find(kGrids);
  if (text == nullptr && (image_text == nullptr || pixels == nullptr)) {
    return Fail(input_file, "holds neither input_ids, nor image_input_ids with pixel_values");
  }
  const bool is_both = image_text != nullptr && pixels != nullptr;
  std::vector<TextWithPixels> calls;
  if (text != nullptr) calls.push_back({text, is_both ? nullptr : pixels, shapes, grids, ""});
  if (is_both) calls.push_back({image_text, pixels, shapes, grids, "image_"});
  Outputs outputs;
  for (const TextWithPixels& call : calls) {
    if (!Compute(model_file, model, session, reader, input_file, call, &outputs))
      return kExitFailure;
  }
  SafetensorsWriter writer;
  if (!writer.Open(output_file, outputs.entries)) return kExitFailure;
  for (size_t i = 0; i < outputs.values.size(); ++i) {
    const std::vector<float>& values = outputs.values[i];
    if (!writer.Write(i, 0, values.data(), values.size() * sizeof(float))) return kExitFailure;
  }
  return writer.Commit() ? kExitOk : kExitFailure;
}

uint64_t TokensOfTexts(const std::string& input_file) {
  SafetensorsReader reader;
  uint64_t tokens = 0;
  if (!reader.Open(input_file)) return tokens;
  for (const char* name : {kIds, kImageIds}) {
    const TensorEntry* entry = reader.Find(name);
    if (entry != nullptr && !entry->shape.empty() && entry->shape.back() > 0)
      tokens = std::max(tokens, static_cast<uint64_t>(entry->shape.back()));
  }
  return tokens;
}

}  // namespace graft_run
