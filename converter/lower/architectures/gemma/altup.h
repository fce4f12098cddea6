// SPDX-License-Identifier: Apache-2.0
// AltUp: several streams of activations, of which layers compute one; the others are predicted from
// all of them, and corrected by what the layer made of its own.
#pragma once

#include <cstdint>
#include <vector>

#include "converter/lower/module.h"

namespace graft::converter {

class AltUp {
 public:
  /// `active`: the stream that layers compute.
  AltUp(int64_t streams, int64_t active, float epsilon)
      : streams_(streams), active_(active), epsilon_(epsilon) {}

  /// The streams before the first layer: the embedded tokens, and their projections with the same
  /// root mean square.
  std::vector<ValueId> Begin(const Module& model, ValueId embedded) const;

  /// What the streams are before layer `m`, from what they were behind the one before it.
  std::vector<ValueId> Predict(const Module& m, const std::vector<ValueId>& streams) const;

  /// The coefficients of the layer's output, for Correct.
  ValueId Innovate(const Module& m, ValueId activated) const;
  /// Stream `stream` corrected by the layer's output, plus `added` if that is not none.
  ValueId Correct(const Module& m, const std::vector<ValueId>& predicted, ValueId activated,
                  ValueId innovation, int64_t stream, ValueId added) const;

  /// The sum of the streams, of which all but the first are projected to the first's root mean
  /// square.
  ValueId End(const Module& model, const std::vector<ValueId>& streams) const;

 private:
  ValueId Modalities(const Module& m, std::string_view name, ValueId x) const;

  int64_t streams_;
  int64_t active_;
  float epsilon_;
};

}  // namespace graft::converter
