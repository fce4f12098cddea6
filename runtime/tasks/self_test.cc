// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/self_test.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/session/session.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// The converter rounds activations as devices do. A number that lies between two codes may still
// become the one here and the other there, for sums differ in their last bits; it measures what that
// comes to by changing last bits itself, by more than CPUs differ. Two and a half times that, since few logits
// are compared.
constexpr double kNoises = 2.5;
// Of the logits' spread: far more than binary32 costs where nothing is rounded.
constexpr double kLeastShare = 1e-3;

/// Sums over all numbers that are compared.
struct Sums {
  double deviation = 0, adapted = 0, rounding_loss = 0, base = 0, change = 0, along = 0;
  double stored_base = 0;
  double spread = 0;
  size_t count = 0;
};

double Square(double x) { return x * x; }

// As long as what it is compared with: the base's logits are told of adapted files alone.
const flatbuffers::Vector<float>* LikeLogits(const fb::Probe& probe,
                                             const flatbuffers::Vector<float>* logits) {
  return logits != nullptr && logits->size() == probe.logits()->size() ? logits : nullptr;
}

void Compare(const fb::Probe& probe, const float* logits, Sums* sums) {
  const auto& stored = *probe.logits();
  const auto& adapted = *probe.adapted_logits();
  const auto* base = LikeLogits(probe, probe.base_logits());
  const auto* stored_base = LikeLogits(probe, probe.stored_base_logits());
  double mean = 0;
  for (const float logit : stored) mean += static_cast<double>(logit) / stored.size();
  for (uint32_t i = 0; i < stored.size(); ++i) {
    const double here = logits[probe.tokens()->Get(i)];
    const double wanted = stored.Get(i), exact = adapted.Get(i);
    sums->deviation += Square(here - wanted);
    sums->adapted += Square(here - exact);
    sums->rounding_loss += Square(wanted - exact);
    sums->spread += Square(wanted - mean);
    if (stored_base != nullptr) sums->stored_base += Square(here - stored_base->Get(i));
    if (base != nullptr) {
      const double without = base->Get(i);
      sums->base += Square(here - without);
      sums->change += Square(exact - without);
      sums->along += (here - without) * (exact - without);
    }
  }
  sums->count += stored.size();
}

}  // namespace

Result<ProbeFigures> MeasureProbes(const std::shared_ptr<const Model>& model) {
  ProbeFigures figures;
  const fb::Probes* probes = model->verified().model().probes();
  uint32_t longest = 0;
  if (probes != nullptr) {
    for (const fb::Probe* probe : *probes->probes()) {
      figures.answers += probe->answered_ids() > 0 ? 1 : 0;
      longest = std::max(longest, probe->answered_ids());
    }
  }
  if (figures.answers == 0) return figures;
  SessionOptions options;
  options.context_tokens = longest;
  options.kv_format = KvFormat::kFloat32;
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model, options));
  Sums sums;
  bool is_stored_base_told = true;
  for (const fb::Probe* probe : *probes->probes()) {
    if (probe->answered_ids() == 0) continue;
    const std::vector<int32_t> ids(probe->ids()->begin(),
                                   probe->ids()->begin() + probe->answered_ids());
    GRAFT_RETURN_IF_ERROR(session->Rewind(0));
    const float* logits = nullptr;
    GRAFT_RETURN_IF_ERROR(session->Append(ids, &logits));
    Compare(*probe, logits, &sums);
    figures.has_base = LikeLogits(*probe, probe->base_logits()) != nullptr;
    is_stored_base_told &= LikeLogits(*probe, probe->stored_base_logits()) != nullptr;
  }
  const auto root = [&sums](double sum) {
    const double mean = std::sqrt(sum / static_cast<double>(sums.count));
    return std::isfinite(mean) ? mean : std::numeric_limits<double>::infinity();
  };
  figures.deviation = root(sums.deviation);
  figures.tolerance =
      std::max(kNoises * static_cast<double>(probes->noise()), kLeastShare * root(sums.spread));
  figures.adapted = root(sums.adapted);
  figures.rounding_loss = root(sums.rounding_loss);
  figures.base = root(sums.base);
  figures.has_stored_base = is_stored_base_told;
  figures.stored_base = root(sums.stored_base);
  if (sums.change > 0) figures.adapter_share = sums.along / sums.change;
  return figures;
}

}  // namespace graft::runtime
