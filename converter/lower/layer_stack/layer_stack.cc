// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/layer_stack/layer_stack.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/layer_stack/members.h"
#include "converter/lower/layer_stack/stack_task.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

constexpr size_t kMaxLayers = 4096;
constexpr int64_t kMaxFeatures = int64_t{1} << 28;

using Names = std::vector<std::string_view>;

struct LayerType {
  const char* name;
  LayerKind kind;
  Names members;  // beside type, name and from
};

const std::vector<LayerType>& LayerTypes() {
  static const std::vector<LayerType> types = {
      {"conv2d",
       LayerKind::kConv2d,
       {"weight", "bias", "stride", "padding", "dilation", "groups", "activation", "lora"}},
      {"conv1d",
       LayerKind::kConv1d,
       {"weight", "bias", "stride", "padding", "dilation", "groups", "activation", "lora"}},
      {"linear", LayerKind::kLinear, {"weight", "bias", "activation", "lora"}},
      {"batch_norm",
       LayerKind::kBatchNorm,
       {"weight", "bias", "running_mean", "running_var", "eps", "activation"}},
      {"layer_norm", LayerKind::kLayerNorm, {"weight", "bias", "eps", "activation"}},
      {"activation", LayerKind::kActivation, {"activation"}},
      {"max_pool", LayerKind::kMaxPool, {"kernel", "stride", "padding"}},
      {"avg_pool", LayerKind::kAveragePool, {"kernel", "stride", "padding"}},
      {"global_max_pool", LayerKind::kGlobalMaxPool, {}},
      {"global_avg_pool", LayerKind::kGlobalAveragePool, {}},
      {"flatten", LayerKind::kFlatten, {}},
      {"add", LayerKind::kAdd, {"with", "activation"}}};
  return types;
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

// A number for both sides, or [height, width]; of a sequence, whose height is 1, its length's.
Result<Sides> ReadSides(const JsonValue& layer, std::string_view key, bool sequence, int64_t low,
                        Sides fallback) {
  if (!layer.Has(key)) return fallback;
  const JsonValue member = layer.Find(key);
  const std::string limits =
      "must be " + std::to_string(low) + " to " + std::to_string(schema::kMaxImageSide);
  const auto within = [&](int64_t number) {
    return number >= low && number <= schema::kMaxImageSide;
  };
  if (member.IsArray()) {
    if (sequence || member.size() != 2) {
      return member.Fail(sequence ? "must be a number" : "must be a number or [height, width]");
    }
    GRAFT_ASSIGN_OR_RETURN(const int64_t height, member.at(0).AsInt());
    GRAFT_ASSIGN_OR_RETURN(const int64_t width, member.at(1).AsInt());
    if (!within(height) || !within(width)) return member.Fail(limits + " a side");
    return Sides{height, width};
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t side, member.AsInt());
  if (!within(side)) return member.Fail(limits);
  return sequence ? Sides{fallback.height, side} : Sides{side, side};
}

Status ReadWindow(const JsonValue& layer, StackLayer* result) {
  const bool sequence = result->kind == LayerKind::kConv1d;
  const bool pools = result->kind == LayerKind::kMaxPool || result->kind == LayerKind::kAveragePool;
  if (pools) {
    if (!layer.Has("kernel")) {
      return layer.Fail("has no kernel, a number or [height, width]");
    }
    GRAFT_ASSIGN_OR_RETURN(result->kernel, ReadSides(layer, "kernel", sequence, 1, {1, 1}));
  }
  GRAFT_ASSIGN_OR_RETURN(result->stride, ReadSides(layer, "stride", sequence, 1, result->kernel));
  GRAFT_ASSIGN_OR_RETURN(result->padding, ReadSides(layer, "padding", sequence, 0, {0, 0}));
  GRAFT_ASSIGN_OR_RETURN(result->dilation, ReadSides(layer, "dilation", sequence, 1, {1, 1}));
  GRAFT_ASSIGN_OR_RETURN(result->groups, layer.GetIntIn("groups", 1, schema::kMaxImageChannels, 1));
  if (pools && (2 * result->padding.height > result->kernel.height ||
                2 * result->padding.width > result->kernel.width)) {
    return layer.Find("padding").Fail("is more than half the kernel");
  }
  return OkStatus();
}

Status ReadTensorNames(const JsonValue& layer, StackLayer* result) {
  GRAFT_ASSIGN_OR_RETURN(result->weight, layer.GetString("weight", ""));
  GRAFT_ASSIGN_OR_RETURN(result->bias, layer.GetString("bias", ""));
  GRAFT_ASSIGN_OR_RETURN(result->running_mean, layer.GetString("running_mean", ""));
  GRAFT_ASSIGN_OR_RETURN(result->running_var, layer.GetString("running_var", ""));
  switch (result->kind) {
    case LayerKind::kLinear:
    case LayerKind::kConv1d:
    case LayerKind::kConv2d:
    case LayerKind::kLayerNorm:
      return layer.GetString("weight").status();
    case LayerKind::kBatchNorm:
      GRAFT_RETURN_IF_ERROR(layer.GetString("running_mean").status());
      return layer.GetString("running_var").status();
    default:
      return OkStatus();
  }
}

// An epsilon is a float32 in the file.
Status ReadEpsilon(const JsonValue& layer, StackLayer* result) {
  GRAFT_ASSIGN_OR_RETURN(result->epsilon, layer.GetDouble("eps", 1e-5));
  if (static_cast<float>(result->epsilon) > 0.0f && result->epsilon <= 1.0) return OkStatus();
  return layer.Find("eps").Fail("must be above 0 and at most 1");
}

Result<StackLayer> ReadLayer(const JsonValue& layer, const std::string& file, bool typed) {
  if (!layer.IsObject()) return layer.Fail("must be an object");
  StackLayer result;
  result.place = file + ": '" + layer.path() + "'";
  if (typed) {
    GRAFT_ASSIGN_OR_RETURN(const std::string type, layer.GetString("type"));
    const auto& types = LayerTypes();
    const auto found = std::find_if(types.begin(), types.end(),
                                    [&](const LayerType& known) { return type == known.name; });
    if (found == types.end()) {
      Names known;
      for (const LayerType& entry : types) known.emplace_back(entry.name);
      return layer.Find("type").Fail("is \"" + type + "\"; this version knows " + Listed(known),
                                     StatusCode::kUnsupported);
    }
    result.kind = found->kind;
    result.label = layer.path() + "." + type;
    Names members = {"type", "name", "from"};
    members.insert(members.end(), found->members.begin(), found->members.end());
    GRAFT_RETURN_IF_ERROR(CheckMembers(layer, members));
  } else {
    GRAFT_RETURN_IF_ERROR(CheckMembers(layer, {"weight", "bias", "activation", "lora"}));
  }
  GRAFT_ASSIGN_OR_RETURN(result.name, layer.GetString("name", ""));
  GRAFT_ASSIGN_OR_RETURN(result.from, layer.GetString("from", ""));
  GRAFT_ASSIGN_OR_RETURN(result.with, layer.GetString("with", ""));
  if (result.kind == LayerKind::kAdd) GRAFT_RETURN_IF_ERROR(layer.GetString("with").status());
  GRAFT_RETURN_IF_ERROR(ReadTensorNames(layer, &result));
  GRAFT_ASSIGN_OR_RETURN(result.activation, layer.GetString("activation", ""));
  if (!result.activation.empty() || result.kind == LayerKind::kActivation) {
    GRAFT_RETURN_IF_ERROR(ReadActivation(layer, "activation").status());
  }
  GRAFT_RETURN_IF_ERROR(ReadWindow(layer, &result));
  GRAFT_RETURN_IF_ERROR(ReadEpsilon(layer, &result));
  if (layer.Has("lora")) {
    GRAFT_ASSIGN_OR_RETURN(result.lora, ReadLora(layer.Find("lora")));
  }
  return result;
}

Status ReadLayers(const JsonValue& description, LayerStack* stack) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue layers, description.Get("layers", JsonKind::kArray));
  if (layers.size() == 0 || layers.size() > kMaxLayers) {
    return layers.Fail("has " + std::to_string(layers.size()) + " layers; it must have 1 to " +
                       std::to_string(kMaxLayers));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(StackLayer layer,
                           ReadLayer(layers.at(i), stack->file, stack->kind == "layer-stack"));
    stack->layers.push_back(std::move(layer));
  }
  // Outputs that layers ask for are there, and each output is asked for.
  std::set<std::string_view> known = {stack->input};
  std::set<std::string_view> asked_for;
  for (size_t i = 0; i < layers.size(); ++i) {
    const StackLayer& layer = stack->layers[i];
    for (const auto& [key, wanted] : {std::pair{"from", &layer.from}, {"with", &layer.with}}) {
      if (wanted->empty()) continue;
      asked_for.insert(*wanted);
      if (known.contains(*wanted)) continue;
      return layers.at(i).Find(key).Fail("is \"" + *wanted + "\", which no earlier layer is named");
    }
    if (!layer.name.empty() && !known.insert(layer.name).second) {
      return layers.at(i).Find("name").Fail("is \"" + layer.name +
                                            "\", as the input or an earlier layer is named");
    }
  }
  for (size_t i = 0; i + 1 < layers.size(); ++i) {
    const StackLayer& layer = stack->layers[i];
    if (stack->layers[i + 1].from.empty() || asked_for.contains(layer.name)) continue;
    return layers.at(i).Fail("gives what no other layer takes");
  }
  return OkStatus();
}

Status ReadInput(const JsonValue& description, LayerStack* stack) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue input, description.Get("input", JsonKind::kObject));
  GRAFT_RETURN_IF_ERROR(CheckMembers(input, {"name", "shape"}));
  GRAFT_ASSIGN_OR_RETURN(stack->input, input.GetString("name", "input"));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue shape, input.Get("shape", JsonKind::kArray));
  if (shape.size() != 1 && shape.size() != 3) {
    return shape.Fail("must be [features] or [channels, height, width]");
  }
  const std::array<int64_t, 3> limits = {
      shape.size() == 1 ? kMaxFeatures : int64_t{schema::kMaxImageChannels}, schema::kMaxImageSide,
      schema::kMaxImageSide};
  for (size_t i = 0; i < shape.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t size, shape.at(i).AsInt());
    if (size < 1 || size > limits[i]) {
      return shape.at(i).Fail("is " + std::to_string(size) + ", outside 1 to " +
                              std::to_string(limits[i]));
    }
    stack->input_shape.push_back(size);
  }
  return OkStatus();
}

}  // namespace

Result<LayerStack> ReadLayerStack(const JsonDocument& document) {
  const JsonValue description = document.root();
  LayerStack stack;
  stack.file = document.name();
  GRAFT_ASSIGN_OR_RETURN(stack.kind, description.GetString("kind"));
  const bool linear = stack.kind == "linear-stack";
  if (!linear && stack.kind != "layer-stack") {
    return description.Find("kind").Fail(
        "is \"" + stack.kind + "\"; this version knows linear-stack, layer-stack",
        StatusCode::kUnsupported);
  }
  if (linear) {
    GRAFT_RETURN_IF_ERROR(CheckMembers(description, {"kind", "input", "output", "layers"}));
    GRAFT_ASSIGN_OR_RETURN(stack.input, description.GetString("input", "input"));
  } else {
    GRAFT_RETURN_IF_ERROR(CheckMembers(
        description, {"kind", "input", "output", "layers", "task", "labels", "scores", "image"}));
    GRAFT_RETURN_IF_ERROR(ReadInput(description, &stack));
    GRAFT_RETURN_IF_ERROR(ReadStackTask(description, &stack));
  }
  GRAFT_ASSIGN_OR_RETURN(stack.output, description.GetString("output", "output"));
  GRAFT_RETURN_IF_ERROR(ReadLayers(description, &stack));
  return stack;
}

std::optional<LayerStack> GuessLayerStack(const TensorSource& source) {
  StackLayer layer;
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
  layer.place = "the only layer";
  LayerStack stack;
  stack.kind = "linear-stack";
  stack.layers.push_back(std::move(layer));
  return stack;
}

Result<std::unique_ptr<TensorSource>> MergeInlineLoras(const LayerStack& stack,
                                                       const TensorSource& source,
                                                       const std::string& source_name) {
  std::map<std::string, InlineLora, std::less<>> loras;
  for (const StackLayer& layer : stack.layers) {
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

std::set<std::string, std::less<>> TensorsOf(const LayerStack& stack) {
  std::set<std::string, std::less<>> names;
  for (const StackLayer& layer : stack.layers) {
    for (const std::string* name :
         {&layer.weight, &layer.bias, &layer.running_mean, &layer.running_var}) {
      if (!name->empty()) names.insert(*name);
    }
    if (layer.lora) names.insert({layer.lora->a, layer.lora->b});
  }
  return names;
}

}  // namespace graft::converter
