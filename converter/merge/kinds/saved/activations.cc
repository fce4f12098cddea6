// SPDX-License-Identifier: Apache-2.0
// One formula each, and a table of their names.
#include "converter/merge/kinds/saved/activations.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "converter/merge/updates/elementary.h"

namespace graft::converter {
namespace {

double Sigmoid(double x) {
  if (x >= 0) return 1 / (1 + Exp(-x));
  const double e = Exp(x);
  return e / (1 + e);
}

double Softplus(double x) {
  // log(1 + e^x), of the part that does not overflow.
  return std::max(x, 0.0) + Log(1 + Exp(-std::fabs(x)));
}

double Linear(double x) { return x; }
double Relu(double x) { return x > 0 ? x : 0; }
double Relu2(double x) { return Relu(x) * Relu(x); }
double Relu6(double x) { return std::min(Relu(x), 6.0); }
double LeakyRelu(double x) { return x > 0 ? x : 0.01 * x; }
// Its slope is a parameter that starts at 1/4; PEANuT makes it anew for each use.
double Prelu(double x) { return x > 0 ? x : 0.25 * x; }
double Silu(double x) { return x * Sigmoid(x); }
double QuickGelu(double x) { return x * Sigmoid(1.702 * x); }
double Gelu(double x) { return 0.5 * x * (1 + Erf(x / std::numbers::sqrt2)); }
double Gelu10(double x) { return std::clamp(Gelu(x), -10.0, 10.0); }
double GeluTanh(double x) {
  const double root = std::sqrt(2 / std::numbers::pi);
  return 0.5 * x * (1 + Tanh(root * (x + 0.044715 * x * x * x)));
}
double FastGelu(double x) {
  return 0.5 * x * (1 + Tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)));
}
double Hardswish(double x) { return x * Relu6(x + 3) / 6; }
double Laplace(double x) {
  return 0.5 * (1 + Erf((x - 0.707107) / (0.282095 * std::numbers::sqrt2)));
}
double Mish(double x) { return x * Tanh(Softplus(x)); }
double SqrtSoftplus(double x) { return std::sqrt(Softplus(x)); }
// With the parameters that it starts with, which are bfloat16 numbers.
double Xielu(double x) {
  constexpr double kAlpha = 0.80078125;
  constexpr double kBeta = 0.5;
  constexpr double kLeast = -0x1.0cp-20;
  if (x > 0) return kAlpha * x * x + kBeta * x;
  return (Exp(std::min(x, kLeast)) - 1 - x) * kAlpha + kBeta * x;
}

struct NamedActivation {
  std::string_view name;
  Activation activation;
};

constexpr NamedActivation kActivations[] = {
    {"gelu", Gelu},
    {"gelu_10", Gelu10},
    {"gelu_accurate", GeluTanh},
    {"gelu_fast", FastGelu},
    {"gelu_new", GeluTanh},
    {"gelu_python", Gelu},
    {"gelu_python_tanh", GeluTanh},
    {"gelu_pytorch_tanh", GeluTanh},
    {"hardswish", Hardswish},
    {"laplace", Laplace},
    {"leaky_relu", LeakyRelu},
    {"linear", Linear},
    {"mish", Mish},
    {"prelu", Prelu},
    {"quick_gelu", QuickGelu},
    {"relu", Relu},
    {"relu2", Relu2},
    {"relu6", Relu6},
    {"sigmoid", Sigmoid},
    {"silu", Silu},
    {"sqrtsoftplus", SqrtSoftplus},
    {"swish", Silu},
    {"tanh", Tanh},
    {"xielu", Xielu},
};

}  // namespace

Activation FindActivation(std::string_view name) {
  for (const NamedActivation& known : kActivations) {
    if (known.name == name) return known.activation;
  }
  return nullptr;
}

}  // namespace graft::converter
