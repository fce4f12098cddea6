// SPDX-License-Identifier: Apache-2.0
// Coefficients are matrices of a few numbers, which decide on whole streams: they stay float32.
#include "converter/lower/architectures/gemma/altup.h"

#include <string>
#include <utility>

#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kLeastMeanSquare = 1e-5f;
// Weights of a correction, in the order of its parts: the prediction, the layer's output, the
// prediction of the active stream, what is added.
constexpr int64_t kParts = 4;

std::string Numbered(std::string_view name, int64_t number) {
  return std::string(name) + "." + std::to_string(number);
}

}  // namespace

std::vector<ValueId> AltUp::Begin(const Module& model, ValueId embedded) const {
  GraphBuilder& g = model.graph();
  std::vector<ValueId> streams = {embedded};
  for (int64_t i = 0; i + 1 < streams_; ++i) {
    const std::string name = Numbered("altup_projections", i);
    const ValueId projected = model.Linear(name, embedded, g.Width(embedded));
    streams.push_back(
        g.MatchRms(model.Name(name) + ".matched", projected, embedded, kLeastMeanSquare));
  }
  return streams;
}

ValueId AltUp::End(const Module& model, const std::vector<ValueId>& streams) const {
  GraphBuilder& g = model.graph();
  ValueId sum = streams[0];
  for (int64_t i = 0; i + 1 < streams_; ++i) {
    const std::string name = Numbered("altup_unembed_projections", i);
    const ValueId projected = model.Linear(name, streams[static_cast<size_t>(i + 1)], g.Width(sum));
    const ValueId matched =
        g.MatchRms(model.Name(name) + ".matched", projected, streams[0], kLeastMeanSquare);
    sum = g.Add(model.Name(name) + ".sum", sum, matched);
  }
  return sum;
}

// tanh(modality_router(norm(x) / width)).
ValueId AltUp::Modalities(const Module& m, std::string_view name, ValueId x) const {
  GraphBuilder& g = m.graph();
  const int64_t width = g.Width(x);
  const std::string norm = m.Name("router_norm.weight");
  const std::string router = m.Name("modality_router.weight");
  const TensorId factors = g.Vector(
      norm, {.source = norm, .source_rows = width, .factor = 1.0 / static_cast<double>(width)},
      width);
  const ValueId normed = g.RmsNorm(m.Name(name) + ".norm", x, factors, epsilon_);
  const TensorId matrix =
      g.FloatMatrix(router, {.source = router, .source_rows = streams_}, streams_, width);
  const ValueId routed = g.Linear(m.Name(name) + ".routed", normed, matrix);
  return g.Activation(m.Name(name), routed, schema::fb::ActivationKind::Tanh);
}

std::vector<ValueId> AltUp::Predict(const Module& m, const std::vector<ValueId>& streams) const {
  GraphBuilder& g = m.graph();
  const ValueId modalities = Modalities(m, "prediction", streams[static_cast<size_t>(active_)]);
  const std::string name = m.Name("prediction_coefs.weight");
  const int64_t count = streams_ * streams_;
  const TensorId matrix =
      g.FloatMatrix(name, {.source = name, .source_rows = count}, count, streams_);
  // A stream itself is added to its prediction: 1 on the diagonal.
  std::vector<float> identity(static_cast<size_t>(count), 0.0f);
  for (int64_t i = 0; i < streams_; ++i) identity[static_cast<size_t>(i * streams_ + i)] = 1.0f;
  const ValueId weights = g.Linear(m.Name("prediction_coefs"), modalities, matrix,
                                   g.Literal("altup.identity", std::move(identity)));
  std::vector<ValueId> predicted;
  for (int64_t i = 0; i < streams_; ++i) {
    predicted.push_back(
        g.WeightedSum(m.Name(Numbered("predicted", i)), streams, weights, i * streams_));
  }
  return predicted;
}

// corrected = predicted + (activated - predicted active one) * (1 + coefficient), as a sum of parts.
ValueId AltUp::Innovate(const Module& m, ValueId activated) const {
  GraphBuilder& g = m.graph();
  const ValueId modalities = Modalities(m, "correction", activated);
  const std::string name = m.Name("correction_coefs.weight");
  TensorPart part = {.source = name, .source_rows = streams_};
  std::vector<float> constants;
  for (int64_t i = 0; i < streams_; ++i) {
    for (const int64_t row : {int64_t{-1}, i, i, int64_t{-1}}) part.rows.listed.push_back(row);
    for (const double factor : {1.0, 1.0, -1.0, 1.0}) {
      part.row_factors.push_back(factor);
      constants.push_back(static_cast<float>(factor));
    }
  }
  const TensorId matrix = g.FloatMatrix(name, std::move(part), kParts * streams_, streams_);
  return g.Linear(m.Name("correction_coefs"), modalities, matrix,
                  g.Literal("altup.corrections", std::move(constants)));
}

ValueId AltUp::Correct(const Module& m, const std::vector<ValueId>& predicted, ValueId activated,
                       ValueId innovation, int64_t stream, ValueId added) const {
  std::vector<ValueId> parts = {predicted[static_cast<size_t>(stream)], activated,
                                predicted[static_cast<size_t>(active_)]};
  if (added.index >= 0) parts.push_back(added);
  return m.graph().WeightedSum(m.Name(Numbered("corrected", stream)), parts, innovation,
                               stream * kParts);
}

}  // namespace graft::converter
