// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/module.h"

namespace graft::converter {

std::string Module::Name(std::string_view child) const {
  return path_.empty() ? std::string(child) : path_ + "." + std::string(child);
}

ValueId Module::Linear(std::string_view name, ValueId x, int64_t out_features, bool bias,
                       double factor) const {
  const std::string module = Name(name);
  const auto whole = [&](const std::string& tensor) {
    return TensorPart{.source = tensor, .source_rows = out_features, .factor = factor};
  };
  const std::string weight = module + ".weight";
  const std::string bias_name = module + ".bias";
  // Tensors lie in the file in the order they are named here, so each is a statement: the order in
  // which arguments are evaluated is the compiler's.
  const TensorId matrix = graph_->Matrix(weight, whole(weight), out_features, graph_->Width(x));
  return graph_->Linear(
      module, x, matrix,
      bias ? graph_->Vector(bias_name, whole(bias_name), out_features) : TensorId{});
}

ValueId Module::Linear(const FusedLinear& fused, std::string_view part, ValueId x,
                       int64_t out_features, const RowRuns& rows) const {
  const std::string module = Name(fused.name);
  const std::string name = part.empty() ? module : module + "." + std::string(part);
  TensorPart weight = {.source = module + ".weight",
                       .source_rows = fused.out_features,
                       .rows = rows,
                       .transposed = fused.transposed};
  TensorPart bias = {.source = module + ".bias", .source_rows = fused.out_features, .rows = rows};
  const TensorId matrix =
      graph_->Matrix(name + ".weight", std::move(weight), out_features, graph_->Width(x));
  return graph_->Linear(
      name, x, matrix,
      fused.bias ? graph_->Vector(name + ".bias", std::move(bias), out_features) : TensorId{});
}

ValueId Module::RmsNorm(std::string_view name, ValueId x, float epsilon, const NormWeight& weight,
                        int64_t group) const {
  const std::string module = Name(name);
  const int64_t elements = group == 0 ? graph_->Width(x) : group;
  TensorPart part = {.source = module + ".weight",
                     .source_rows = elements,
                     .factor = weight.factor,
                     .offset = weight.offset};
  return graph_->RmsNorm(module, x, graph_->Vector(module + ".weight", std::move(part), elements),
                         epsilon);
}

ValueId Module::LayerNorm(std::string_view name, ValueId x, float epsilon, bool bias,
                          const NormWeight& weight) const {
  const std::string module = Name(name);
  const int64_t width = graph_->Width(x);
  const auto part = [&](std::string_view ending, double offset) {
    return TensorPart{.source = module + std::string(ending),
                      .source_rows = width,
                      .factor = weight.factor,
                      .offset = offset};
  };
  const TensorId factors =
      graph_->Vector(module + ".weight", part(".weight", weight.offset), width);
  return graph_->LayerNorm(
      module, x, factors,
      bias ? graph_->Vector(module + ".bias", part(".bias", 0.0), width) : TensorId{}, epsilon);
}

}  // namespace graft::converter
