// SPDX-License-Identifier: Apache-2.0
// PixelMap: an image on its way through a model, and the layers that see neighbouring pixels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "converter/json/json.h"
#include "converter/lower/module.h"

namespace graft::converter {

/// A row for each pixel, its channels side by side; or the graph's input, [channels, height, width].
struct PixelMap {
  ValueId value;
  int64_t channels = 0;
  ImageSize size;
  bool is_planar = false;
};

struct ConvolutionSettings {
  int64_t out_channels = 0;
  ImageSize kernel{1, 1}, stride{1, 1}, padding{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  ImageSize extra{0, 0};  ///< Of padding, below and right.

  /// A kernel of `side` pixels a side with as many around the image that its size stays.
  static ConvolutionSettings Same(int64_t out_channels, int64_t side, int64_t stride = 1,
                                  int64_t groups = 1);
};

/// A batch norm whose factors and offsets a convolution takes into its weights.
struct BatchNorm {
  std::string name;  ///< Of the module; empty: none.
  double epsilon = 1e-5;
};

/// The graph's input "pixel_values".
PixelMap PixelValues(GraphBuilder& graph, int64_t channels, const ImageSize& size);

/// Pixels as rows.
PixelMap PixelRows(GraphBuilder& graph, const PixelMap& x);

/// The convolution of "name.weight" and, where there is one, "name.bias", followed by `norm`. A
/// window that does not fit is a fault.
PixelMap Convolve(const Module& module, std::string_view name, const PixelMap& x,
                  const ConvolutionSettings& settings, const BatchNorm& norm = {});

/// A kernel of one pixel over the channels of several maps, side by side: the sum of a product of
/// each, which is brought to `size`.
PixelMap ConvolveSideBySide(const Module& module, std::string_view name,
                            const std::vector<PixelMap>& parts, int64_t out_channels,
                            const BatchNorm& norm, const ImageSize& size);

/// x W^T + b of "name.weight" and "name.bias", each row times its number of the vector `factors`,
/// which may be none (layer scale).
ValueId ScaledLinear(const Module& module, std::string_view name, ValueId x, int64_t out_features,
                     const std::string& factors, bool bias = true);

/// ReLU, ReLU6 or another function by its name in `config`'s member `key`.
struct PixelActivation {
  schema::fb::ActivationKind kind{};
  bool is_relu6 = false;

  ValueId Apply(GraphBuilder& graph, const std::string& name, ValueId x) const;
};
Result<PixelActivation> ReadPixelActivation(const JsonValue& config, std::string_view key,
                                            std::string_view fallback);

}  // namespace graft::converter
