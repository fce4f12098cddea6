// SPDX-License-Identifier: Apache-2.0
// Batch norms as they are after training: a factor and an offset for each channel, which the layer
// before can take into its own weights.
#pragma once

#include <string>
#include <vector>

#include "converter/lower/layer_stack/layer_stack.h"

namespace graft::converter {

/// y = factor * x + offset, channel by channel.
struct ChannelAffine {
  std::vector<double> factor;
  std::vector<double> offset;
};

/// factor = weight / sqrt(running_var + epsilon), offset = bias - running_mean * factor, in
/// float64; a norm without weight or bias has ones or zeros.
/// Source   Ioffe and Szegedy 2015, algorithm 2.
/// Errors   kMismatch: a tensor that is missing or not of [channels];
///          kCorrupt: numbers that make a factor or offset that is not finite. `source_name` is
///          what messages call the source.
Result<ChannelAffine> ReadBatchNorm(const StackLayer& norm, const TensorSource& source,
                                    const std::string& source_name, int64_t channels);

}  // namespace graft::converter
