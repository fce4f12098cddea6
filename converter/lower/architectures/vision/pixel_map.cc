// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/vision/pixel_map.h"

#include <cmath>
#include <utility>
#include <vector>

#include "converter/lower/activation.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

// factor * x + offset, channel by channel.
struct ChannelFactors {
  std::vector<double> factors, offsets;  // empty: 1, and 0
};

ChannelFactors ReadBatchNorm(GraphBuilder& g, const BatchNorm& norm, int64_t channels) {
  ChannelFactors read;
  if (norm.name.empty()) return read;
  read.factors = g.Numbers(norm.name + ".weight", channels);
  read.offsets = g.Numbers(norm.name + ".bias", channels);
  const std::vector<double> mean = g.Numbers(norm.name + ".running_mean", channels);
  const std::vector<double> variance = g.Numbers(norm.name + ".running_var", channels);
  for (size_t i = 0; i < mean.size(); ++i) {
    read.factors[i] /= std::sqrt(variance[i] + norm.epsilon);
    read.offsets[i] -= mean[i] * read.factors[i];
    if (variance[i] >= 0.0 && std::isfinite(read.factors[i]) && std::isfinite(read.offsets[i]))
      continue;
    // Without a fault of a tensor before it: those read as zeros.
    g.Fail(Error(StatusCode::kCorrupt,
                 "%s: the batch norm '%s' has a variance of %g and a mean of %g in channel %zu; it "
                 "must be finite, and a variance not below 0",
                 g.source_name().c_str(), norm.name.c_str(), variance[i], mean[i], i));
    break;
  }
  return read;
}

WindowShape WindowOver(const PixelMap& x) {
  WindowShape window;
  window.channels = x.channels;
  window.height = x.size.height;
  window.width = x.size.width;
  return window;
}

WindowShape WindowOf(const PixelMap& x, const ConvolutionSettings& settings) {
  WindowShape window = WindowOver(x);
  window.kernel_height = settings.kernel.height;
  window.kernel_width = settings.kernel.width;
  window.stride_height = settings.stride.height;
  window.stride_width = settings.stride.width;
  window.pad_height = settings.padding.height;
  window.pad_width = settings.padding.width;
  window.dilation_height = settings.dilation.height;
  window.dilation_width = settings.dilation.width;
  return window;
}

TensorId BiasOf(GraphBuilder& g, const std::string& module, int64_t channels, ChannelFactors norm) {
  const std::string bias = module + ".bias";
  if (!g.Has(bias)) {
    if (norm.offsets.empty()) return {};
    return g.Literal(module + ".offset",
                     std::vector<float>(norm.offsets.begin(), norm.offsets.end()));
  }
  TensorPart part{.source = bias, .source_rows = channels};
  part.row_factors = std::move(norm.factors);
  part.row_offsets = std::move(norm.offsets);
  return g.Vector(bias, std::move(part), channels);
}

}  // namespace

ConvolutionSettings ConvolutionSettings::Same(int64_t out_channels, int64_t side, int64_t stride,
                                              int64_t groups) {
  ConvolutionSettings settings;
  settings.out_channels = out_channels;
  settings.kernel = {side, side};
  settings.stride = {stride, stride};
  settings.padding = {side / 2, side / 2};
  settings.groups = groups;
  return settings;
}

PixelMap PixelValues(GraphBuilder& graph, int64_t channels, const ImageSize& size) {
  return {graph.ImageInput("pixel_values", channels, size.height, size.width), channels, size,
          /*is_planar=*/true};
}

PixelMap PixelRows(GraphBuilder& graph, const PixelMap& x) {
  if (!x.is_planar) return x;
  return {graph.Patches("pixels", x.value, WindowOver(x)), x.channels, x.size,
          /*is_planar=*/false};
}

PixelMap Convolve(const Module& module, std::string_view name, const PixelMap& x,
                  const ConvolutionSettings& settings, const BatchNorm& norm) {
  GraphBuilder& g = module.graph();
  const std::string path = module.Name(name);
  ConvolutionShape shape;
  shape.window = WindowOf(x, settings);
  shape.groups = settings.groups;
  shape.extra_height = settings.extra.height;
  shape.extra_width = settings.extra.width;
  const auto places =
      schema::PlacesOf(StoredWindow(shape.window), static_cast<uint32_t>(shape.extra_height),
                       static_cast<uint32_t>(shape.extra_width));
  if (!places.ok()) {
    g.Fail(Error(StatusCode::kMismatch, "%s: the convolution '%s' %s", g.source_name().c_str(),
                 path.c_str(), std::string(places.status().message()).c_str()));
    return {x.value, settings.out_channels, {1, 1}};
  }
  const int64_t out = settings.out_channels;
  ChannelFactors factors = ReadBatchNorm(g, norm, out);
  TensorPart part{.source = path + ".weight", .source_rows = out};
  part.row_factors = factors.factors;
  const TensorId kernels =
      g.Kernels(path + ".weight", std::move(part),
                {out, x.channels / settings.groups, settings.kernel.height, settings.kernel.width},
                out, shape.window.elements() / settings.groups);
  const TensorId bias = BiasOf(g, path, out, std::move(factors));
  const ImageSize size = {shape.out_height(), shape.out_width()};
  const bool is_each_pixel = settings.kernel.pixels() == 1 && settings.stride.pixels() == 1;
  if (settings.groups == 1 && settings.extra.height == 0 && settings.extra.width == 0) {
    if (x.is_planar) {
      const ValueId patches = g.Patches(path + ".patches", x.value, shape.window);
      return {g.Linear(path, patches, kernels, bias), out, size};
    }
    if (is_each_pixel) return {g.Linear(path, x.value, kernels, bias), out, size};
  }
  return {g.Convolution(path, PixelRows(g, x).value, kernels, bias, shape), out, size};
}

PixelMap ConvolveSideBySide(const Module& module, std::string_view name,
                            const std::vector<PixelMap>& parts, int64_t out_channels,
                            const BatchNorm& norm, const ImageSize& size) {
  GraphBuilder& g = module.graph();
  const std::string path = module.Name(name);
  int64_t channels = 0;
  for (const PixelMap& part : parts) channels += part.channels;
  ChannelFactors factors = ReadBatchNorm(g, norm, out_channels);
  PixelMap sum;
  int64_t begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string part_name = path + "." + std::to_string(i);
    TensorPart part{.source = path + ".weight", .source_rows = out_channels};
    part.row_factors = factors.factors;
    part.source_columns = channels;
    for (int64_t j = 0; j < parts[i].channels; ++j) part.columns.push_back(begin + j);
    begin += parts[i].channels;
    const TensorId weight =
        g.Kernels(part_name + ".weight", std::move(part), {out_channels, channels, 1, 1},
                  out_channels, parts[i].channels);
    const TensorId bias = i == 0 ? BiasOf(g, path, out_channels, factors) : TensorId{};
    ValueId product = g.Linear(part_name, parts[i].value, weight, bias);
    const ImageSize& own = parts[i].size;
    if (own.height != size.height || own.width != size.width)
      product = g.ResizePixels(part_name + ".resized", product, own, size);
    sum.value = i == 0 ? product : g.Add(part_name + ".sum", sum.value, product);
  }
  sum.channels = out_channels;
  sum.size = size;
  return sum;
}

ValueId ScaledLinear(const Module& module, std::string_view name, ValueId x, int64_t out_features,
                     const std::string& factors, bool bias) {
  if (factors.empty()) return module.Linear(name, x, out_features, bias);
  GraphBuilder& g = module.graph();
  const std::string path = module.Name(name);
  const std::vector<double> scale = g.Numbers(factors, out_features);
  const auto scaled = [&](const std::string& tensor) {
    TensorPart part{.source = tensor, .source_rows = out_features};
    part.row_factors = scale;
    return part;
  };
  const TensorId weight =
      g.Matrix(path + ".weight", scaled(path + ".weight"), out_features, g.Width(x));
  return g.Linear(
      path, x, weight,
      bias ? g.Vector(path + ".bias", scaled(path + ".bias"), out_features) : TensorId{});
}

ValueId PixelActivation::Apply(GraphBuilder& graph, const std::string& name, ValueId x) const {
  return is_relu6 ? graph.Clamp(name, x, 0.0f, 6.0f) : graph.Activation(name, x, kind);
}

Result<PixelActivation> ReadPixelActivation(const JsonValue& config, std::string_view key,
                                            std::string_view fallback) {
  GRAFT_ASSIGN_OR_RETURN(const std::string name, config.GetString(key, fallback));
  PixelActivation activation;
  activation.is_relu6 = name == "relu6";
  if (activation.is_relu6) return activation;
  auto kind = ActivationFromName(name);
  if (!kind.ok()) return config.Find(key).Fail(kind.status().message(), kind.status().code());
  activation.kind = kind.value();
  return activation;
}

}  // namespace graft::converter
