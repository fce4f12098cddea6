// SPDX-License-Identifier: Apache-2.0
// Attention of Gemma 3n and 4: normalized heads, layers of two shapes, and layers that attend to the
// keys and values of one before them.
#pragma once

#include <cstdint>
#include <vector>

#include "converter/lower/decoder_parts.h"

namespace graft::converter {

/// Attention of one layer.
struct LayerAttention {
  AttentionShape shape;
  RopeShape rope;
  int64_t source = -1;        ///< The layer whose keys and values it takes; -1: it has its own.
  bool value_is_key = false;  ///< A value is the key before its norm.
};

/// Which layer each takes keys and values from; -1: it has its own. The last num_kv_shared_layers
/// take those of the last layer of their type before them.
/// Errors   kCorrupt: there is none.
Result<std::vector<int64_t>> ReadSharedLayers(const JsonValue& config,
                                              const std::vector<bool>& sliding, int64_t usual);

/// Adds the attention of one layer after the other.
class SharedAttention {
 public:
  /// The first of the layers that keep nothing, so that rows nobody asks for are of no use to them;
  /// the number of layers if all keep something.
  int64_t FirstSharing() const;
  /// From here on rows are those of `inputs` whose outputs are wanted.
  void SelectRows(GraphBuilder& graph, const DecoderInputs& inputs);

  /// `bias`: of all its matrices.
  SharedAttention(std::vector<LayerAttention> layers, ValueId positions, float epsilon, bool bias)
      : layers_(std::move(layers)),
        stored_(layers_.size()),
        positions_(positions),
        epsilon_(epsilon),
        bias_(bias) {}

  /// o_proj of what `layer`, whose names begin with `module`, attends to.
  ValueId Add(const Module& module, int64_t layer, ValueId x);

 private:
  struct Stored {
    int32_t cache = -1;
    ValueId key, value;
  };
  ValueId Heads(const Module& m, std::string_view norm, ValueId x,
                const LayerAttention& layer) const;
  void Store(const Module& m, ValueId x, const LayerAttention& layer, Stored* stored) const;

  std::vector<LayerAttention> layers_;
  std::vector<Stored> stored_;
  ValueId positions_;
  float epsilon_;
  bool bias_;
};

}  // namespace graft::converter
