// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: MLPs of which each row goes through a few, chosen by a router.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "converter/json/json.h"
#include "converter/lower/module.h"
#include "schema/result.h"

namespace graft::schema::fb {
enum class ActivationKind : uint8_t;
}

namespace graft::converter {

inline constexpr int64_t kMostExperts = 4096;  // as schema/op_checker.h has it

/// Where a checkpoint keeps a mixture. transformers 5 computes with all experts in one tensor, and
/// most checkpoints keep each by itself.
struct ExpertNames {
  std::string_view module = "mlp";  ///< Of a layer.
  std::string_view router = "gate";
  /// Of an expert: "module.experts.3.gate.weight".
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";
  /// Of all experts: "module.gate_up" has the rows of an expert's gate, then those of its up.
  std::string_view gate_up = "experts.gate_up_proj", all_down = "experts.down_proj";
  /// Module and router where all experts are in one tensor; empty: the same.
  std::string_view joint_module{}, joint_router{};
};

/// An MLP beside the experts, which every row goes through.
struct SharedExpert {
  std::string_view name{};  ///< Empty: there is none.
  bool of_layer = false;    ///< Its name is below the layer; else below the mixture.
  std::string_view gate{};  ///< A linear layer of one output, by whose sigmoid it is multiplied.
  /// Its matrices; `fused`: name of one with the rows of gate, then those of up.
  std::string_view fused{}, down = "down_proj";
  int64_t hidden = 0;
};

struct ExpertsDesign {
  int64_t count = 0;   ///< Of experts.
  int64_t hidden = 0;  ///< Of each.
  RoutingShape routing;
  std::string_view routing_bias{};  ///< Name of it; empty: there is none.
  ExpertNames names;
  bool router_bias = false;
  bool bias = false;
  bool transposed = false;   ///< Stacked matrices are [in_features, out_features].
  bool interleaved = false;  ///< Rows of gate and up in turn.
  double limit = 0.0;        ///< As gpt-oss clamps gate and up; 0: they are not.
  SharedExpert shared;
  std::vector<bool> layers;  ///< Which have experts; empty: all.

  bool Has(int64_t layer) const { return layers.empty() || layers[static_cast<size_t>(layer)]; }
};

/// How many experts there are, and how many a row is given to, by the usual settings.
/// Requires   usual numbers of a file that has none; 0: the file must say.
Status ReadExpertCounts(const JsonValue& config, int64_t usual_count, int64_t usual_choices,
                        ExpertsDesign* experts);

/// The layers that have experts by mlp_only_layers and decoder_sparse_step.
Status ReadSparseLayers(const JsonValue& config, int64_t layers, ExpertsDesign* experts);

/// The mixture of `layer` over x, [rows, width] as x is. `down_factor` multiplies the result.
ValueId MixtureOfExperts(const ExpertsDesign& experts, const Module& layer, ValueId x,
                         schema::fb::ActivationKind activation, double down_factor);

}  // namespace graft::converter
