// SPDX-License-Identifier: Apache-2.0
// The rules a graph must keep: operands defined before use, shapes that fit each op, states used
// once.
#pragma once

#include <cstdint>

#include "schema/result.h"

namespace graft::schema {

namespace fb {
struct Model;
struct Value;
}  // namespace fb

struct GraphFacts {
  /// Bounds of what tables are looked up with, and of what a rope holds for; 0: there is none. Token
  /// ids, positions and token types must be below them.
  uint64_t vocabulary = 0;
  uint64_t positions = 0;
  uint64_t token_types = 0;
  uint64_t source_vocabulary = 0;
  uint64_t source_positions = 0;
  /// Rows of the source, where they are fixed; 0: one for each of source_ids, or no source.
  uint64_t source_rows = 0;
  /// The same of what places of patches look up.
  uint64_t image_positions = 0;
  /// Patches that become one image row; 0: there are no pictures.
  uint32_t merged_patches = 0;
  /// The graph inputs of these roles; null: there is none.
  const fb::Value* token_ids = nullptr;
  const fb::Value* output_rows = nullptr;
  const fb::Value* text_ends = nullptr;
  const fb::Value* source_ids = nullptr;
  const fb::Value* source_features = nullptr;
  const fb::Value* image_patches = nullptr;
  /// What MergePatches gives, and whether PlaceImages reads it.
  const fb::Value* image_rows = nullptr;
  bool places_images = false;
  /// Whether some attention lets the rows of a picture see each other.
  bool has_image_runs = false;
  bool has_axes = false;  ///< a rope of tokens turns by time, row and column

  /// Of an encoder-decoder.
  bool has_source() const { return source_ids != nullptr || source_features != nullptr; }
};

/// Checks the graph of a model whose FlatBuffer and tensors are already valid.
/// Errors   kCorrupt, kUnsupported; each names the value or op.
/// Cost     linear in the graph; allocates a few bytes for each value.
Result<GraphFacts> CheckGraph(const fb::Model& model);

}  // namespace graft::schema
