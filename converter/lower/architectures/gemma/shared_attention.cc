// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gemma/shared_attention.h"

#include <algorithm>
#include <string>

namespace graft::converter {

Result<std::vector<int64_t>> ReadSharedLayers(const JsonValue& config,
                                              const std::vector<bool>& sliding, int64_t usual) {
  constexpr std::string_view kKey = "num_kv_shared_layers";
  const auto layers = static_cast<int64_t>(sliding.size());
  GRAFT_ASSIGN_OR_RETURN(const int64_t shared, config.GetIntIn(kKey, 0, layers - 1, usual));
  const int64_t first = layers - shared;
  std::vector<int64_t> sources(sliding.size(), -1);
  for (int64_t layer = first; layer < layers; ++layer) {
    const bool slides = sliding[static_cast<size_t>(layer)];
    int64_t source = first - 1;
    while (source >= 0 && sliding[static_cast<size_t>(source)] != slides) --source;
    if (source < 0) {
      return config.Find(kKey).Fail("is " + std::to_string(shared) +
                                    ", but no layer before these is of the type of layer " +
                                    std::to_string(layer));
    }
    sources[static_cast<size_t>(layer)] = source;
  }
  return sources;
}

int64_t SharedAttention::FirstSharing() const {
  const auto shares = [](const LayerAttention& layer) { return layer.source >= 0; };
  return std::find_if(layers_.begin(), layers_.end(), shares) - layers_.begin();
}

void SharedAttention::SelectRows(GraphBuilder& graph, const DecoderInputs& inputs) {
  if (inputs.output_rows.index >= 0)
    positions_ = graph.SelectPositions(positions_, inputs.output_rows);
}

// Queries or keys: each head normalized, then rotated.
ValueId SharedAttention::Heads(const Module& m, std::string_view norm, ValueId x,
                               const LayerAttention& layer) const {
  x = m.RmsNorm(norm, x, epsilon_, {}, layer.shape.head_dim);
  return m.graph().Rope(m.Name(norm.substr(0, 1)) + "_rope", x, positions_, layer.rope);
}

void SharedAttention::Store(const Module& m, ValueId x, const LayerAttention& layer,
                            Stored* stored) const {
  GraphBuilder& g = m.graph();
  const int64_t width = layer.shape.kv_heads * layer.shape.head_dim;
  const ValueId key = m.Linear("k_proj", x, width, bias_);
  const ValueId value = layer.value_is_key ? key : m.Linear("v_proj", x, width, bias_);
  const auto head_dim = static_cast<size_t>(layer.shape.head_dim);
  const TensorId ones =
      g.Literal("v_norm.ones." + std::to_string(head_dim), std::vector<float>(head_dim, 1.0f));
  stored->key = Heads(m, "k_norm", key, layer);
  stored->value = g.RmsNorm(m.Name("v_norm"), value, ones, epsilon_);
}

ValueId SharedAttention::Add(const Module& m, int64_t index, ValueId x) {
  GraphBuilder& g = m.graph();
  const LayerAttention& layer = layers_[static_cast<size_t>(index)];
  const int64_t hidden = g.Width(x);
  const ValueId query = Heads(
      m, "q_norm", m.Linear("q_proj", x, layer.shape.heads * layer.shape.head_dim, bias_), layer);
  Stored& stored = stored_[static_cast<size_t>(layer.source < 0 ? index : layer.source)];
  ValueId attended;
  if (layer.source >= 0 && stored.cache >= 0) {
    attended = g.StoredAttention(m.path(), query, positions_, layer.shape, stored.cache);
  } else {
    if (layer.source < 0) Store(m, x, layer, &stored);
    attended = Attend(m, query, stored.key, stored.value, positions_, layer.shape, std::nullopt);
    // A graph of several texts keeps nothing: there the values themselves are shared.
    if (layer.source < 0) stored.cache = g.last_cache();
  }
  return m.Linear("o_proj", attended, hidden, bias_);
}

}  // namespace graft::converter
