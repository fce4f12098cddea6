// SPDX-License-Identifier: Apache-2.0
// The parts that training programs put into tensors' names when they wrap modules.
#pragma once

#include <string>
#include <string_view>

namespace graft::converter {

/// Whether a part of a tensor's name, between dots, is one that no model has of itself:
/// "_fsdp_wrapped_module", "_orig_mod" of torch.compile, "_checkpoint_wrapped_module", ...
bool IsTrainingWrapper(std::string_view part);

/// `name` without such parts, wherever they stand, and in kohya's names those between underscores;
/// `name` itself if nothing would be left.
std::string WithoutTrainingWrappers(std::string_view name);

/// `name` without the parts "module" that PyTorch's DataParallel classes and DeepSpeed add, wherever
/// they stand. A model may have a part of that name of itself, so this is for a second attempt.
std::string WithoutParallelWrappers(std::string_view name);

}  // namespace graft::converter
