// SPDX-License-Identifier: Apache-2.0
// VisionEncoder: transformers over patches of an image, and what varies between them.
// Source   Dosovitskiy et al. 2020; layer scale: Touvron et al. 2021.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "converter/lower/encoder.h"
#include "converter/lower/module.h"

namespace graft::converter {

/// Names of a layer's modules below the layer's own name; null: there is none.
struct VisionLayerNames {
  const char *attention_norm, *query, *key, *value, *attention_output;
  const char *mlp_norm, *mlp_up, *mlp_down;
  const char* mlp_gate = nullptr;
  const char* attention_scale = nullptr;  ///< Factors of each feature of what a branch gives.
  const char* mlp_scale = nullptr;
};

struct VisionEncoder {
  EncoderSizes sizes;
  VisionLayerNames names{};
  bool query_bias = true, key_bias = true, value_bias = true;
  bool output_bias = true, mlp_bias = true;
  bool mlp_gate_is_fused = false;  ///< mlp_up holds the gate's rows, then its own.
  TensorId angles{};               ///< Of queries and keys; none: they are not rotated.
};

/// What a family's configuration class has where a file says nothing.
struct VisionDefaults {
  int64_t hidden = 768, mlp_hidden = 3072, layers = 12, heads = 12;
  double epsilon = 1e-12;
  const char* activation = "gelu";
};
/// Errors   those of ReadEncoderSizes.
Result<EncoderSizes> ReadVisionSizes(const JsonValue& config, const VisionDefaults& defaults);

/// x + scale attention(norm(x)), then x + scale mlp(norm(x)), which is called `output` if that is
/// not empty. `score_bias` as AttentionShape has it.
ValueId VisionLayer(const VisionEncoder& encoder, const Module& layer, ValueId x,
                    TensorId score_bias = {}, const std::string& output = "");

/// The patches of an image and their projection "name": a row for each. `channels` and `size` are
/// the image's.
struct PatchShape {
  int64_t channels = 3;
  ImageSize image;
  ImageSize patch;

  ImageSize grid() const { return {image.height / patch.height, image.width / patch.width}; }
  int64_t patches() const { return grid().pixels(); }
};
Result<PatchShape> ReadPatchShape(const JsonValue& config, const ImageSize& image,
                                  int64_t patch_side);
ValueId PatchRows(const Module& module, std::string_view name, const PatchShape& shape,
                  int64_t width, bool bias = true);

/// Rows that the checkpoint has as a tensor of `shape`, [rows, width] in the graph.
ValueId StoredRows(GraphBuilder& graph, const std::string& name, const std::vector<int64_t>& shape);

/// Positions [1, stored_rows, width] of `prefix` rows and of a square of patches; for a grid of
/// another size interpolated as PyTorch does, bicubic.
/// Errors   kUnsupported: the stored patches are no square; those of tensors are the graph's.
Result<ValueId> PositionsOf(GraphBuilder& graph, const std::string& name, int64_t prefix,
                            int64_t stored_rows, int64_t width, const ImageSize& grid,
                            bool antialias);

/// Rows from `first` on.
ValueId RowsFrom(GraphBuilder& graph, const std::string& name, ValueId x, int64_t first,
                 int64_t end);

}  // namespace graft::converter
