// SPDX-License-Identifier: Apache-2.0
// UnderscoredNames: finds the module whose dots a name has lost, as in "layers_0_q_proj".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// kohya's trainer writes a module's name with an underscore for each dot, which cannot be undone
/// without the base's own names: "a_b" is "a.b" or "a_b".
class UnderscoredNames {
 public:
  /// The modules of `base` are its tensors called ".weight"; `base` must outlive this.
  explicit UnderscoredNames(std::span<const TensorInfo> base);

  /// The module called `name` with underscores for its dots, or else the one whose name ends with
  /// that after a dot. Valid as long as the base.
  /// Errors   kMismatch: none, or several; the message names two.
  Result<std::string_view> Find(std::string_view name) const;

 private:
  struct Module {
    std::string reversed;  // the underscored name backwards: names with one ending lie together
    std::string_view name;
  };
  std::vector<Module> modules_;  // by reversed name
};

}  // namespace graft::converter
