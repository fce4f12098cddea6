// SPDX-License-Identifier: Apache-2.0
// FourierTransform: the inverse discrete transform of any length, with the same bits everywhere.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "converter/merge/updates/workspace.h"

namespace graft::converter {

struct Complex {
  double real = 0;
  double imaginary = 0;
};

/// e^(2 pi i k / length) for all k, as pairs of cosine and sine.
class Turns {
 public:
  explicit Turns(size_t length);
  Result<std::span<const double>> Get(Workspace* workspace) const { return workspace->Get(turns_); }

 private:
  PreparedMatrix turns_;
};

class FourierTransform {
 public:
  explicit FourierTransform(size_t length);
  const Turns& turns() const { return turns_; }

  /// out[c] = sum over q of in[q] * e^(2 pi i q c / length); not divided by the length. `turns` is
  /// what turns() has.
  /// Cost     length times the sum of its prime factors.
  void Inverse(std::span<const double> turns, std::span<const Complex> in,
               std::span<Complex> out) const;

 private:
  void Run(std::span<const double> turns, const Complex* in, size_t stride, size_t length,
           size_t level, Complex* out) const;

  size_t length_;
  std::vector<size_t> factors_;  // primes, ascending
  Turns turns_;
};

}  // namespace graft::converter
