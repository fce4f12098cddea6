// SPDX-License-Identifier: Apache-2.0
#include "converter/tensors/training_wrappers.h"

#include <algorithm>

namespace graft::converter {
namespace {

constexpr std::string_view kWrappers[] = {
    "_fsdp_wrapped_module",        // FullyShardedDataParallel
    "_fpw_module",                 // its name until PyTorch 1.12
    "_orig_mod",                   // torch.compile
    "_checkpoint_wrapped_module",  // activation checkpointing
    "_forward_module",             // Lightning's strategies
};

template <typename Drop>
std::string Without(std::string_view name, Drop drop) {
  std::string text;
  std::string_view rest = name;
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    if (!drop(part)) {
      if (!text.empty()) text += '.';
      text += part;
    }
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return text.empty() ? std::string(name) : text;
}

}  // namespace

bool IsTrainingWrapper(std::string_view part) {
  return std::find(std::begin(kWrappers), std::end(kWrappers), part) != std::end(kWrappers);
}

std::string WithoutTrainingWrappers(std::string_view name) {
  std::string text = Without(name, IsTrainingWrapper);
  for (const std::string_view wrapper : kWrappers) {
    const std::string underscored = "_" + std::string(wrapper) + "_";
    for (size_t at = text.find(underscored); at != std::string::npos;
         at = text.find(underscored, at)) {
      text.replace(at, underscored.size(), "_");
    }
  }
  return text;
}

std::string WithoutParallelWrappers(std::string_view name) {
  return Without(name, [](std::string_view part) { return part == "module"; });
}

}  // namespace graft::converter
