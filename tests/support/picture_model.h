// SPDX-License-Identifier: Apache-2.0
// The smallest model that sees: four patches of an image become a row, which tokens attend to.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/model_builder.h"

namespace graft::test {

/// What a test can spoil before the file is built.
struct PictureModel {
  fb::InputRole patches_role = fb::InputRole::ImagePatches;
  bool patches_of_tokens = false;  ///< patches and tokens have one dimension
  bool places_of_tokens = false;   ///< their places have that of tokens
  bool extra_tensor = false;       ///< an input of role Tensor beside them
  bool rows_of_tokens = false;     ///< image rows have the dimension of tokens
  bool rows_of_patches = false;    ///< or that of patches
  bool merges_twice = false;       ///< another op merges another number of patches
  bool merges_tokens = false;      ///< patches are merged of tokens
  bool mean = false;
  bool has_place = true;
  bool places_twice = false;
  bool places_patches = false;   ///< image rows are taken where patches are
  bool output_of_image = false;  ///< image rows are an output
  bool runs = true;
  bool causal = true;  ///< of the tokens' attention, which has a cache
  uint32_t count = 4;
  int64_t merged_width = 32;
  int64_t patch_width = 12;
  bool has_pictures = true;
  fb::TaskKind task = fb::TaskKind::TextGeneration;
  uint32_t token = 3, patch = 2, merge = 2, side = 4, longest_side = 0;
  uint32_t height = 8, width = 8, channels = 3;
  uint32_t frames = 1, most_patches = 0, fewest_pixels = 0, most_pixels = 0;
  bool axes = false;        ///< what the tokens' attention reads is turned by row and column
  bool patch_axes = false;  ///< and so are patches,
  uint8_t patch_axis = 1;   ///< by this
  fb::PictureLayout layout = fb::PictureLayout::Square;
  std::string placeholder = "<p>", begin = "<b>", token_text = "<p>";
  float deviation = 0.5f;

  static constexpr int64_t kVocabulary = 64;

  AlignedBytes Build() const;
};

}  // namespace graft::test
