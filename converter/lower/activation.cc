// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/activation.h"

#include <string>

#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

struct Name {
  const char* name;
  ActivationKind kind;
};

// transformers has several names for one function.
constexpr Name kNames[] = {
    {"silu", ActivationKind::Silu},
    {"swish", ActivationKind::Silu},
    {"gelu", ActivationKind::Gelu},
    {"gelu_python", ActivationKind::Gelu},
    {"gelu_new", ActivationKind::GeluTanh},
    {"gelu_fast", ActivationKind::GeluTanh},
    {"gelu_pytorch_tanh", ActivationKind::GeluTanh},
    {"gelu_python_tanh", ActivationKind::GeluTanh},
    {"gelu_accurate", ActivationKind::GeluTanh},
    {"relu", ActivationKind::Relu},
    {"tanh", ActivationKind::Tanh},
    {"sigmoid", ActivationKind::Sigmoid},
    {"quick_gelu", ActivationKind::QuickGelu},
    {"relu2", ActivationKind::ReluSquared},
};

}  // namespace

Result<ActivationKind> ActivationFromName(std::string_view name) {
  std::string known;
  for (const Name& entry : kNames) {
    if (name == entry.name) return entry.kind;
    if (!known.empty()) known += ", ";
    known += entry.name;
  }
  return Error(StatusCode::kUnsupported, "is \"%.*s\"; this version knows %s",
               static_cast<int>(name.size()), name.data(), known.c_str());
}

Result<ActivationKind> ReadActivation(const JsonValue& object, std::string_view key) {
  GRAFT_ASSIGN_OR_RETURN(const std::string name, object.GetString(key));
  auto kind = ActivationFromName(name);
  if (!kind.ok()) return object.Find(key).Fail(kind.status().message(), kind.status().code());
  return kind;
}

}  // namespace graft::converter
