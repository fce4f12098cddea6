// SPDX-License-Identifier: Apache-2.0
// Kernels that work on one row at a time: norms, elementwise arithmetic, dynamic quantization. All
// rows are dense f32; buffers may be the same where input and output are of one shape.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::runtime {

/// How one row of int8 codes maps to numbers: (code - zero_point) * scale. The layout is the one
/// XNNPACK reads.
struct RowQuantization {
  int32_t zero_point;
  float scale;
};

enum class Activation : uint8_t {
  kSilu,
  kGelu,
  kGeluTanh,
  kRelu,
  kTanh,
  kSigmoid,
  kQuickGelu,
  kReluSquared
};

/// The numbers of an xIELU.
struct XieluShape {
  float alpha_p, alpha_n, beta, epsilon;
};

/// y = x / sqrt(mean(x^2) + epsilon) * weight for each run of `group` elements. weight [group];
/// width % group == 0.
void RmsNormRow(const float* x, size_t width, const float* weight, size_t group, float epsilon,
                float* y);

/// y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias. bias may be null.
void LayerNormRow(const float* x, size_t width, const float* weight, const float* bias,
                  float epsilon, float* y);

void AddRow(const float* a, const float* b, size_t width, float* y);
void MultiplyRow(const float* a, const float* b, size_t width, float* y);
/// y = factor * x
void ScaleRow(const float* x, float factor, size_t width, float* y);
/// y += factor * x
void AddScaledRow(const float* x, float factor, size_t width, float* y);
/// y = max(x - (mean(x) + deviations * standard deviation of x), 0).
/// Source   Gemma Team 2025, Gemma 3n.
void GaussianTopKRow(const float* x, float deviations, size_t width, float* y);
/// y = x * sqrt(mean(reference^2)) / sqrt(max(mean(x^2), floor))
void MatchRmsRow(const float* x, const float* reference, float floor, size_t width, float* y);
void ActivationRow(Activation kind, const float* x, size_t width, float* y);
/// y = alpha_p x^2 + beta x above 0, alpha_n (expm1(min(x, epsilon)) - x) + beta x elsewhere.
/// Source   Huang and Schlag 2024, "Deriving Activation Functions Using Integration".
void XieluRow(const XieluShape& shape, const float* x, size_t width, float* y);
/// y = activation(gate) * up
void GatedActivationRow(Activation kind, const float* gate, const float* up, size_t width,
                        float* y);

/// Asymmetric int8 over each row's own range, widened to hold 0: codes[i] = round(x[i] / scale) +
/// zero_point. x and codes [rows, width], quantization [rows]. The same arithmetic as XNNPACK's
/// convert_nc_f32_qd8, so that either may feed its kernels.
void QuantizeRows(const float* x, size_t rows, size_t width, int8_t* codes,
                  RowQuantization* quantization);

}  // namespace graft::runtime
