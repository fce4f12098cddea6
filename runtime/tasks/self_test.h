// SPDX-License-Identifier: Apache-2.0
// The answers that a file holds to its own probes, beside those that the model gives here.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/model/model.h"
#include "schema/result.h"

namespace graft::runtime {

/// Root mean squares of differences between logits.
struct ProbeFigures {
  uint32_t answers = 0;          ///< probes that have one
  bool has_base = false;         ///< the file has adapters; else what is told of the base is 0
  bool has_stored_base = false;  ///< the file tells what the base's stored weights give
  double deviation = 0;          ///< from what the file's weights give
  double tolerance = 0;          ///< what that may be
  double adapted = 0;            ///< from the model before its weights were rounded
  double rounding_loss = 0;      ///< of the file's weights from that
  double base = 0;           ///< from the base without adapters, before its weights were rounded
  double stored_base = 0;    ///< from what the base's stored weights give; 0 if that is not told
  double adapter_share = 0;  ///< of the adapters' change that is there
};

/// Asks the model, in a session of its own.
/// Errors   those of Session.
Result<ProbeFigures> MeasureProbes(const std::shared_ptr<const Model>& model);

}  // namespace graft::runtime
