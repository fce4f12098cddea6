// SPDX-License-Identifier: Apache-2.0
// Cooley and Tukey's decimation in time, one prime factor a level.
#include "converter/merge/kinds/drawn/fourier.h"

#include "converter/merge/updates/elementary.h"

namespace graft::converter {
namespace {

Complex Product(Complex a, const double* b) {
  return {a.real * b[0] - a.imaginary * b[1], a.real * b[1] + a.imaginary * b[0]};
}

std::vector<size_t> PrimeFactors(size_t number) {
  std::vector<size_t> factors;
  for (size_t factor = 2; factor * factor <= number; ++factor) {
    for (; number % factor == 0; number /= factor) factors.push_back(factor);
  }
  if (number > 1) factors.push_back(number);
  return factors;
}

}  // namespace

Turns::Turns(size_t length)
    : turns_(2 * length, [length](std::span<double> out) {
        for (size_t k = 0; k < length; ++k) {
          const SineAndCosine turn = SinCosOfTurn(k, length);
          out[2 * k] = turn.cosine;
          out[2 * k + 1] = turn.sine;
        }
        return OkStatus();
      }) {}

FourierTransform::FourierTransform(size_t length)
    : length_(length), factors_(PrimeFactors(length)), turns_(length) {}

void FourierTransform::Inverse(std::span<const double> turns, std::span<const Complex> in,
                               std::span<Complex> out) const {
  Run(turns, in.data(), 1, length_, 0, out.data());
}

void FourierTransform::Run(std::span<const double> turns, const Complex* in, size_t stride,
                           size_t length, size_t level, Complex* out) const {
  if (length == 1) {
    *out = *in;
    return;
  }
  const size_t factor = factors_[level];
  const size_t part = length / factor;
  for (size_t j = 0; j < factor; ++j) {
    Run(turns, in + j * stride, stride * factor, part, level + 1, out + j * part);
  }
  std::vector<Complex> terms(factor);
  for (size_t k = 0; k < part; ++k) {
    for (size_t j = 0; j < factor; ++j) {
      terms[j] = Product(out[j * part + k], turns.data() + 2 * (j * k * (length_ / length)));
    }
    for (size_t q = 0; q < factor; ++q) {
      Complex sum = terms[0];
      for (size_t j = 1; j < factor; ++j) {
        const Complex term =
            Product(terms[j], turns.data() + 2 * (j * q % factor * (length_ / factor)));
        sum.real += term.real;
        sum.imaginary += term.imaginary;
      }
      out[q * part + k] = sum;
    }
  }
}

}  // namespace graft::converter
