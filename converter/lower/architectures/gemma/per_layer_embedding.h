// SPDX-License-Identifier: Apache-2.0
// Embeddings of their own for each layer of Gemma 3n and 4: a second table, a row of which holds a
// vector for every layer.
#pragma once

#include <cstdint>

#include "converter/lower/decoder_parts.h"

namespace graft::converter {

class PerLayerEmbedding {
 public:
  /// Reads hidden_size_per_layer_input, by default `usual_width`, and vocab_size_per_layer_input.
  static Result<PerLayerEmbedding> Read(const JsonValue& config, int64_t layers,
                                        int64_t usual_width, float epsilon);

  /// Elements of a layer's vector; 0: the model has none.
  int64_t width() const { return width_; }

  /// (norm(projection of the embedded token) + row of the second table) / sqrt(2), for all layers at
  /// once: the table's row is read in one piece.
  /// Requires width() > 0.
  void Add(const Module& model, ValueId ids, ValueId embedded);
  /// From here on rows are those of `inputs` whose outputs are wanted.
  void SelectRows(GraphBuilder& graph, const DecoderInputs& inputs);
  /// per_layer_projection(activation(per_layer_input_gate(x)) * the layer's vector), normalized.
  /// `gate_factors`: what x is multiplied with first, element by element; empty: 1.
  /// Requires Add was called.
  ValueId Gate(const Module& layer, int64_t index, ValueId x, schema::fb::ActivationKind activation,
               std::vector<double> gate_factors) const;

 private:
  int64_t layers_ = 0;
  int64_t width_ = 0;
  int64_t vocabulary_ = 0;
  float epsilon_ = 0.0f;
  ValueId all_;
};

}  // namespace graft::converter
