// SPDX-License-Identifier: Apache-2.0
// The mixer of Mamba-2, which several families have with settings of their own.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "converter/lower/lowering.h"
#include "converter/lower/module.h"

namespace graft::schema::fb {
enum class ActivationKind : uint8_t;
}

namespace graft::converter {

/// What the settings of a state space are called.
struct StateSpaceKeys {
  std::string_view heads, head_dim, groups, state_dim, kernel, conv_bias, proj_bias, expand;
  int64_t usual_heads = 128, usual_head_dim = 64, usual_groups = 1, usual_state_dim = 256;
};
inline constexpr StateSpaceKeys kMamba2Keys = {"num_heads",
                                               "head_dim",
                                               "n_groups",
                                               "state_size",
                                               "conv_kernel",
                                               "use_conv_bias",
                                               "use_bias",
                                               "expand",
                                               128,
                                               64,
                                               8,
                                               128};
inline constexpr StateSpaceKeys kMambaKeys = {"mamba_n_heads",   "mamba_d_head", "mamba_n_groups",
                                              "mamba_d_state",   "mamba_d_conv", "mamba_conv_bias",
                                              "mamba_proj_bias", "mamba_expand"};

struct StateSpace {
  enum class Norm : uint8_t { kNone, kGatedFirst, kGatedAfter };

  ScanShape scan;
  int64_t kernel = 0;
  bool conv_bias = true;
  bool in_bias = false;
  bool out_bias = false;
  schema::fb::ActivationKind activation{};
  Norm norm = Norm::kGatedFirst;
  int64_t norm_runs = 1;
  float epsilon = 0.0f;
  double in_factor = 1.0;  ///< Of the mixer's input.
  /// Of what in_proj gives: the gate, x, B, C, the steps. Empty: 1.
  std::vector<double> factors;
  double out_factor = 1.0;
};

/// `width`: of all heads; 0: `expand` times `hidden`.
/// Errors   kCorrupt: heads that do not fit the width.
Result<StateSpace> ReadStateSpace(const JsonValue& config, const StateSpaceKeys& keys,
                                  int64_t hidden, int64_t width = 0);

/// What the mixer called `module` makes of x.
/// Source   Dao and Gu 2024, "Transformers are SSMs".
ValueId MixByStateSpace(const StateSpace& space, const Module& module, ValueId x);

/// -exp of the logarithms in "A_log" [rows], or [rows, width] if width is not 0.
TensorId AddDecayRates(const Module& module, int64_t rows, int64_t width = 0);

/// A linear layer that decides how long a state lasts: it is kept out of int4.
ValueId StepLinear(const Module& module, std::string_view name, ValueId x, int64_t out_features,
                   bool bias = false);

}  // namespace graft::converter
