// SPDX-License-Identifier: Apache-2.0
// Trained numbers at places that a seed draws: FourierFT's and WaveFT's spectra.
#pragma once

#include <vector>

#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/updates/sparse_rows.h"

namespace graft::converter {

struct Spectrum {
  StoredFactor values;
  uint64_t seed = 0;
  int64_t outputs = 0;
  int64_t inputs = 0;

  /// The numbers in [outputs, inputs], times `scale`; rows and columns exchanged if `transposed`.
  Status Read(double scale, bool transposed, std::vector<SparseNumber>* numbers) const;
};

/// The spectrum `values` of a layer.
/// Errors   kMismatch: more numbers than the layer has.
///          kUnsupported: the configuration has no random_loc_seed.
Result<Spectrum> FindSpectrum(const AdapterTensor& values, const LinearLayer& layer,
                              AdapterPlanner* planner);

}  // namespace graft::converter
