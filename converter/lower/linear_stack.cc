// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/linear_stack.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/inline_lora.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr size_t kMaxLayers = 4096;

// A misspelt member would otherwise be a model that silently lacks something.
Status CheckMembers(const JsonValue& object, std::initializer_list<std::string_view> known) {
  for (size_t i = 0; i < object.size(); ++i) {
    if (std::find(known.begin(), known.end(), object.key(i)) != known.end()) continue;
    std::string names;
    for (const std::string_view name : known) {
      if (!names.empty()) names += ", ";
      names += name;
    }
    return object.at(i).Fail("is not a member that is known here; these are: " + names);
  }
  return OkStatus();
}

Result<InlineLora> ReadLora(const JsonValue& lora) {
  if (!lora.IsObject()) return lora.Fail("must be an object");
  GRAFT_RETURN_IF_ERROR(CheckMembers(lora, {"a", "b", "alpha", "scale"}));
  InlineLora result;
  GRAFT_ASSIGN_OR_RETURN(result.a, lora.GetString("a"));
  GRAFT_ASSIGN_OR_RETURN(result.b, lora.GetString("b"));
  if (lora.Has("alpha") && lora.Has("scale")) {
    return lora.Fail("has both alpha and scale; it needs one of them at most");
  }
  if (lora.Has("alpha")) {
    GRAFT_ASSIGN_OR_RETURN(result.alpha, lora.GetDouble("alpha"));
  }
  GRAFT_ASSIGN_OR_RETURN(result.scale, lora.GetDouble("scale", 1.0));
  return result;
}

Result<LinearStackLayer> ReadLayer(const JsonValue& layer) {
  if (!layer.IsObject()) return layer.Fail("must be an object");
  GRAFT_RETURN_IF_ERROR(CheckMembers(layer, {"weight", "bias", "activation", "lora"}));
  LinearStackLayer result;
  GRAFT_ASSIGN_OR_RETURN(result.weight, layer.GetString("weight"));
  GRAFT_ASSIGN_OR_RETURN(result.bias, layer.GetString("bias", ""));
  GRAFT_ASSIGN_OR_RETURN(result.activation, layer.GetString("activation", ""));
  if (!result.activation.empty()) {
    GRAFT_RETURN_IF_ERROR(ReadActivation(layer, "activation").status());
  }
  if (layer.Has("lora")) {
    GRAFT_ASSIGN_OR_RETURN(result.lora, ReadLora(layer.Find("lora")));
  }
  return result;
}

}  // namespace

Result<LinearStack> ReadLinearStack(const JsonValue& description) {
  GRAFT_ASSIGN_OR_RETURN(const std::string kind, description.GetString("kind"));
  if (kind != "linear-stack") {
    return description.Find("kind").Fail("is \"" + kind + "\"; this version knows linear-stack",
                                         StatusCode::kUnsupported);
  }
  GRAFT_RETURN_IF_ERROR(CheckMembers(description, {"kind", "input", "output", "layers"}));
  LinearStack stack;
  GRAFT_ASSIGN_OR_RETURN(stack.input, description.GetString("input", "input"));
  GRAFT_ASSIGN_OR_RETURN(stack.output, description.GetString("output", "output"));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue layers, description.Get("layers", JsonKind::kArray));
  if (layers.size() == 0 || layers.size() > kMaxLayers) {
    return layers.Fail("has " + std::to_string(layers.size()) + " layers; it must have 1 to " +
                       std::to_string(kMaxLayers));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(LinearStackLayer layer, ReadLayer(layers.at(i)));
    stack.layers.push_back(std::move(layer));
  }
  return stack;
}

std::optional<LinearStack> GuessLinearStack(const TensorSource& source) {
  LinearStackLayer layer;
  bool has_a = false;
  bool has_b = false;
  for (const TensorInfo& info : source.tensors()) {
    if ((info.name == "W" || info.name == "weight") && layer.weight.empty()) {
      layer.weight = info.name;
    } else if (info.name == "bias") {
      layer.bias = info.name;
    } else if (info.name == "A") {
      has_a = true;
    } else if (info.name == "B") {
      has_b = true;
    } else {
      return std::nullopt;
    }
  }
  if (layer.weight.empty() || has_a != has_b) return std::nullopt;
  if (has_a) layer.lora = InlineLora{"A", "B", std::nullopt, 1.0};
  LinearStack stack;
  stack.layers.push_back(std::move(layer));
  return stack;
}

Result<std::unique_ptr<TensorSource>> MergeInlineLoras(const LinearStack& stack,
                                                       const TensorSource& source,
                                                       const std::string& source_name) {
  std::map<std::string, InlineLora, std::less<>> loras;
  for (const LinearStackLayer& layer : stack.layers) {
    if (!layer.lora) continue;
    const auto [place, is_new] = loras.emplace(layer.weight, *layer.lora);
    if (!is_new && (place->second.a != layer.lora->a || place->second.b != layer.lora->b)) {
      return Error(StatusCode::kUnsupported, "%s: tensor '%s' has two different loras",
                   source_name.c_str(), layer.weight.c_str());
    }
  }
  if (loras.empty()) return std::unique_ptr<TensorSource>();
  return InlineLoraSource::Create(source, source_name, loras);
}

Status LowerLinearStack(const LinearStack& stack, const TensorSource& source, GraphBuilder& graph,
                        TaskDescription* task) {
  task->architecture = "linear-stack";
  ValueId x;
  for (size_t i = 0; i < stack.layers.size(); ++i) {
    const LinearStackLayer& layer = stack.layers[i];
    const bool last = i + 1 == stack.layers.size();
    const TensorInfo* weight = source.Find(layer.weight);
    // A missing or odd weight becomes the builder's fault; its size is then of no consequence.
    const bool is_matrix = weight != nullptr && weight->shape.size() == 2;
    const int64_t out_features = is_matrix ? weight->shape[0] : 1;
    const int64_t in_features = is_matrix ? weight->shape[1] : 1;
    if (i == 0) x = graph.TensorInput(stack.input, in_features);
    const std::string name = last && layer.activation.empty() ? stack.output : layer.weight;
    const TensorId matrix = graph.Matrix(layer.weight, out_features, in_features);
    x = graph.Linear(name, x, matrix,
                     layer.bias.empty() ? TensorId{} : graph.Vector(layer.bias, out_features));
    if (layer.activation.empty()) continue;
    GRAFT_ASSIGN_OR_RETURN(const auto kind, ActivationFromName(layer.activation));
    x = graph.Activation(last ? stack.output : layer.weight + "." + layer.activation, x, kind);
  }
  graph.Output(x);
  return OkStatus();
}

}  // namespace graft::converter
