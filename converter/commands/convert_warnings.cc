// SPDX-License-Identifier: Apache-2.0
// What a user should know of a file before relying on it.
#include <array>
#include <cstdio>
#include <optional>

#include "converter/commands/convert_report.h"

namespace graft::converter {
namespace {

// Of answers to probes, in nats. int4 changes 0.02 on a model of 3 million weights and 0.09 on one of
// 135 million, int4 by channel 0.03 and 1.5: that one's perplexity is six times what it was.
constexpr double kLoudDivergence = 0.5;

}  // namespace

std::vector<std::string> ConvertWarnings(const ConvertReport& report) {
  std::vector<std::string> warnings;
  const std::optional<double>& divergence = report.outcome.probe_divergence;
  const bool calibrated = report.outcome.calibrated_matrices > 0;
  const std::string instead = "try --quant int8" +
                              std::string(calibrated ? "" : ", --head int8 --calibrate") +
                              " or more --bits";
  const bool says = report.description.task.task == Task::kTextGeneration;
  if (divergence && *divergence > kLoudDivergence) {
    std::array<char, 200> text{};
    std::snprintf(
        text.data(), text.size(),
        "rounding changes much of what the model says (KL divergence %.2f at its probes); ",
        *divergence);
    warnings.push_back(text.data() + instead);
  } else if (!divergence && says && report.wanted.kind == StorageKind::kInt4PerChannel &&
             !calibrated) {
    warnings.push_back(
        "int4-channel has one scale for each row, which costs most models of language much of "
        "what they know, and this one has no probes to tell by; " +
        instead);
  }
  if (says && report.description.tokenizer.IsNull()) {
    warnings.emplace_back(
        "the base has no tokenizer, so the model takes and gives ids of tokens alone; put its "
        "tokenizer.json beside it");
  }
  return warnings;
}

}  // namespace graft::converter
