// SPDX-License-Identifier: Apache-2.0
#include "converter/probes/probe_divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace graft::converter {
namespace {

// Logarithms of the probabilities among these tokens alone.
std::vector<double> LogProbabilities(const std::vector<float>& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  std::vector<double> logs;
  logs.reserve(logits.size());
  for (const float logit : logits) logs.push_back(static_cast<double>(logit) - top - std::log(sum));
  return logs;
}

}  // namespace

std::optional<double> ProbeDivergence(const ProbeAnswers& answers) {
  double all = 0;
  int count = 0;
  for (const ProbeNumbers& probe : answers.probes) {
    if (probe.logits.empty() || probe.logits.size() != probe.adapted.size()) continue;
    const std::vector<double> before = LogProbabilities(probe.adapted);
    const std::vector<double> after = LogProbabilities(probe.logits);
    for (size_t i = 0; i < before.size(); ++i) all += std::exp(before[i]) * (before[i] - after[i]);
    ++count;
  }
  if (count == 0) return std::nullopt;
  return all / count;
}

}  // namespace graft::converter
