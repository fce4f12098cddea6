// SPDX-License-Identifier: Apache-2.0
// Finds the one dict of tensors in what the machine leaves, and copies the tensors out of it.
#include "converter/formats/pickle.h"

#include <algorithm>
#include <string_view>

#include <utf8proc.h>

#include "converter/base/sanitize.h"
#include "converter/formats/pickle_machine.h"
#include "converter/formats/pickle_values.h"

namespace graft::converter {
namespace {

constexpr std::string_view kWrappers[] = {"state_dict", "model_state_dict", "model"};

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    utf8proc_int32_t character = 0;
    const utf8proc_ssize_t bytes =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                         static_cast<utf8proc_ssize_t>(text.size()), &character);
    if (bytes <= 0) return false;
    text.remove_prefix(static_cast<size_t>(bytes));
  }
  return true;
}

bool IsPlain(PickleKind kind) {
  return kind == PickleKind::kNone || kind == PickleKind::kBool || kind == PickleKind::kInt ||
         kind == PickleKind::kFloat || kind == PickleKind::kString;
}

// The dict itself, or the one inside it under a well-known key.
Result<PickleId> FindTensorDict(const PickleValues& values, PickleId root,
                                const std::string& context) {
  if (values.at(root).kind != PickleKind::kDict) {
    return Error(StatusCode::kUnsupported, "%s: holds %s, not a dict of tensors; %s",
                 context.c_str(), PickleKindName(values.at(root).kind), kPickleAdvice);
  }
  PickleId inner = root;
  std::string_view wrapper;
  for (const auto& [key, value] : values.items(root)) {
    const std::string_view name = values.at(key).text;
    const bool wraps =
        std::find(std::begin(kWrappers), std::end(kWrappers), name) != std::end(kWrappers);
    if (!wraps || values.at(value).kind != PickleKind::kDict) continue;
    if (inner != root) {
      return Error(StatusCode::kUnsupported, "%s: holds dicts under both '%s' and '%s'; %s",
                   context.c_str(), std::string(wrapper).c_str(), std::string(name).c_str(),
                   kPickleAdvice);
    }
    inner = value;
    wrapper = name;
  }
  if (inner == root) return root;
  for (const auto& [key, value] : values.items(root)) {
    if (value == inner || IsPlain(values.at(value).kind)) continue;
    return Error(StatusCode::kUnsupported, "%s: holds %s under '%s' beside the tensors in '%s'; %s",
                 context.c_str(), PickleKindName(values.at(value).kind),
                 Sanitize(values.at(key).text).c_str(), std::string(wrapper).c_str(),
                 kPickleAdvice);
  }
  return inner;
}

// Before any name is copied: one may be referred to many times.
Status CheckNames(const PickleValues& values, PickleId dict, const std::string& context) {
  std::vector<std::string_view> names;
  for (const auto& [key, value] : values.items(dict)) {
    names.push_back(values.at(key).text);
    if (!IsUtf8(names.back())) {
      return Error(StatusCode::kCorrupt, "%s: the name '%s' is not UTF-8", context.c_str(),
                   Sanitize(names.back()).c_str());
    }
  }
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    return Error(StatusCode::kCorrupt, "%s: the name '%s' is there twice", context.c_str(),
                 Sanitize(*twice).c_str());
  }
  return OkStatus();
}

std::vector<int64_t> Integers(const PickleValues& values, PickleId tuple) {
  std::vector<int64_t> numbers;
  for (const PickleId id : values.members(tuple)) numbers.push_back(values.at(id).number);
  return numbers;
}

}  // namespace

Result<std::vector<PickledTensor>> ReadPickledTensors(std::span<const uint8_t> pickle,
                                                      const std::string& context,
                                                      const PickleLimits& limits) {
  PickleMachine machine(pickle, context, limits);
  GRAFT_ASSIGN_OR_RETURN(const PickleId root, machine.Run());
  const PickleValues& values = machine.values();
  GRAFT_ASSIGN_OR_RETURN(const PickleId dict, FindTensorDict(values, root, context));
  if (values.items(dict).size() > limits.max_tensors) {
    return Error(StatusCode::kCorrupt, "%s: lists %zu tensors; the limit is %u", context.c_str(),
                 values.items(dict).size(), limits.max_tensors);
  }
  GRAFT_RETURN_IF_ERROR(CheckNames(values, dict, context));
  std::vector<PickledTensor> tensors;
  for (const auto& [key, value] : values.items(dict)) {
    const std::string_view name = values.at(key).text;
    if (values.at(value).kind != PickleKind::kTensor) {
      return Error(StatusCode::kUnsupported, "%s: holds %s under '%s', not a tensor; %s",
                   context.c_str(), PickleKindName(values.at(value).kind), Sanitize(name).c_str(),
                   kPickleAdvice);
    }
    const PickledView& view = values.tensor(value);
    tensors.push_back({std::string(name), view.storage.dtype, std::string(view.storage.key),
                       view.storage.elements, view.offset, Integers(values, view.sizes),
                       Integers(values, view.strides)});
  }
  return tensors;
}

}  // namespace graft::converter
