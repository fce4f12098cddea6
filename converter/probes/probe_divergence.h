// SPDX-License-Identifier: Apache-2.0
// What rounding changed in the answers to a file's probes.
#pragma once

#include <optional>

#include "converter/probes/answer_probes.h"

namespace graft::converter {

/// The mean KL divergence, in nats, of what the file answers from what it answers before rounding,
/// among the tokens that its probes compare. Nothing if there are no answers.
std::optional<double> ProbeDivergence(const ProbeAnswers& answers);

}  // namespace graft::converter
