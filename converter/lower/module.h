// SPDX-License-Identifier: Apache-2.0
// Module: a place among a checkpoint's names, and the layers whose weights lie there.
#pragma once

#include <string>
#include <string_view>

#include "converter/lower/graph_builder.h"

namespace graft::converter {

/// One matrix that several linear layers share: the rows of each are a part of its rows.
struct FusedLinear {
  std::string_view name;     ///< Below the module, such as "qkv_proj".
  int64_t out_features = 0;  ///< Of all layers together.
  bool bias = false;
  bool transposed = false;  ///< Stored [in_features, out_features].
};

/// What a norm's stored weight w stands for: w * factor + offset.
struct NormWeight {
  double factor = 1.0;
  double offset = 0.0;
};

/// Linear layers and norms of a model by their names below `path`. Each op and value is called
/// "path.name"; widths follow from the input.
class Module {
 public:
  /// `graph` must outlive the module. `path` is a name such as "model.layers.0", or empty.
  Module(GraphBuilder& graph, std::string path) : graph_(&graph), path_(std::move(path)) {}

  /// "path.child", "path.3".
  Module operator[](std::string_view child) const { return {*graph_, Name(child)}; }
  Module operator[](int64_t index) const { return {*graph_, Name(std::to_string(index))}; }

  GraphBuilder& graph() const { return *graph_; }
  const std::string& path() const { return path_; }
  std::string Name(std::string_view child) const;

  /// x W^T + b of "name.weight" [out_features, in_features] and "name.bias", both times `factor`.
  ValueId Linear(std::string_view name, ValueId x, int64_t out_features, bool bias = false,
                 double factor = 1.0) const;
  /// The layer `part` of a fused one: `out_features` rows as `rows` counts them.
  ValueId Linear(const FusedLinear& fused, std::string_view part, ValueId x, int64_t out_features,
                 const RowRuns& rows) const;
  /// "name.weight"; over runs of `group` elements, or whole rows if it is 0.
  ValueId RmsNorm(std::string_view name, ValueId x, float epsilon, const NormWeight& weight = {},
                  int64_t group = 0) const;
  /// "name.weight" and, if `bias`, "name.bias", which is multiplied by weight.factor.
  ValueId LayerNorm(std::string_view name, ValueId x, float epsilon, bool bias = true,
                    const NormWeight& weight = {}) const;

 private:
  GraphBuilder* graph_;
  std::string path_;
};

}  // namespace graft::converter
