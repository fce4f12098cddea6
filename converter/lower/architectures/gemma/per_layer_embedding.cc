// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gemma/per_layer_embedding.h"

#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "converter/lower/numbers.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualVocabulary = 262144;

}  // namespace

Result<PerLayerEmbedding> PerLayerEmbedding::Read(const JsonValue& config, int64_t layers,
                                                  int64_t usual_width, float epsilon) {
  PerLayerEmbedding embedding;
  embedding.layers_ = layers;
  embedding.epsilon_ = epsilon;
  GRAFT_ASSIGN_OR_RETURN(embedding.width_, config.GetIntIn("hidden_size_per_layer_input", 0,
                                                           kMaxWidth / layers, usual_width));
  GRAFT_ASSIGN_OR_RETURN(embedding.vocabulary_, config.GetIntIn("vocab_size_per_layer_input", 1,
                                                                kMaxVocabulary, kUsualVocabulary));
  return embedding;
}

void PerLayerEmbedding::Add(const Module& model, ValueId ids, ValueId embedded) {
  GraphBuilder& g = model.graph();
  const std::string table = model.Name("embed_tokens_per_layer");
  const auto hidden = static_cast<double>(g.Width(embedded));
  const double half = 1.0 / std::numbers::sqrt2;
  const auto scale = static_cast<float>(std::sqrt(static_cast<double>(width_)) * half);
  const ValueId rows =
      g.Embedding(table, ids, g.Matrix(table + ".weight", vocabulary_, layers_ * width_), scale);
  // The projection is divided by the root of hidden before its norm, which shows in epsilon alone.
  const ValueId projected = model.Linear("per_layer_model_projection", embedded, layers_ * width_);
  const ValueId normed = model.RmsNorm("per_layer_projection_norm", projected,
                                       static_cast<float>(static_cast<double>(epsilon_) * hidden),
                                       {.factor = half}, width_);
  all_ = g.Add(model.Name("per_layer_inputs"), normed, rows);
}

void PerLayerEmbedding::SelectRows(GraphBuilder& graph, const DecoderInputs& inputs) {
  if (width_ > 0 && inputs.output_rows.index >= 0)
    all_ = graph.SelectRows("selected_per_layer_inputs", all_, inputs.output_rows);
}

ValueId PerLayerEmbedding::Gate(const Module& m, int64_t index, ValueId x,
                                schema::fb::ActivationKind activation,
                                std::vector<double> gate_factors) const {
  GraphBuilder& g = m.graph();
  const int64_t hidden = g.Width(x);
  const std::string gate = m.Name("per_layer_input_gate");
  const std::string weight = gate + ".weight";
  const TensorId matrix = g.Matrix(
      weight, {.source = weight, .source_rows = width_, .column_factors = std::move(gate_factors)},
      width_, hidden);
  const ValueId own = g.SelectColumns(m.Name("per_layer_input"), all_, index * width_, width_);
  const ValueId gated =
      g.GatedActivation(m.Name("per_layer_act"), g.Linear(gate, x, matrix), own, activation);
  const ValueId projected = m.Linear("per_layer_projection", gated, hidden);
  return m.RmsNorm("post_per_layer_input_norm", projected, epsilon_);
}

}  // namespace graft::converter
