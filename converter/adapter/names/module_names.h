// SPDX-License-Identifier: Apache-2.0
// ModuleNames: finds, for a module name of an adapter, the base tensor it means, though the two
// files may prefix it differently.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/adapter/names/model_part.h"
#include "converter/adapter/names/newer_names.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// How the names of one adapter begin where the base's begin otherwise, as far as was found out:
/// base prefix to adapter prefix. One entry in practice.
using NamePrefixes = std::map<std::string, std::string>;

/// An adapter names modules as they were called in the training program; a checkpoint may have been
/// saved from a wrapper around that model or from a part of it. Names are tried as they are, then
/// in their later spelling (NewerNames), then without the wrappers that say nothing
/// ("model.language_model." and "language_model.model." are one), then with up to five leading parts
/// dropped, as the one base tensor that ends with the rest. A name of one part of a model (PartOf)
/// never finds a tensor of another. Anything ambiguous is an error, never a guess.
class ModuleNames {
 public:
  /// `base` must outlive this.
  explicit ModuleNames(std::span<const TensorInfo> base);

  /// The base tensor for `module` + "." + `leaf`, or for `module` alone if leaf is empty; null if
  /// there is none. What `prefixes` says is tried before the search; what the search finds out is
  /// added to it.
  /// Errors   kMismatch: several base tensors could be meant.
  Result<const TensorInfo*> Find(std::string_view module, std::string_view leaf,
                                 NamePrefixes* prefixes) const;

  /// What the program of the adapter with `prefixes` called the base tensor `name`.
  std::string AdapterNameOf(std::string_view name, const NamePrefixes& prefixes) const;

  /// The base tensor whose name is nearest to `name`, for messages; empty if the base has none.
  std::string Nearest(std::string_view name) const;

 private:
  const TensorInfo* Exact(std::string_view name) const;
  ModelPart PartIn(std::string_view name) const;
  static Result<const TensorInfo*> One(const std::vector<const TensorInfo*>& found,
                                       std::string_view asked);
  // At most two of those that end with `ending`, the rest of the name `asked`.
  std::vector<const TensorInfo*> EndingWith(std::string_view ending, std::string_view asked) const;
  std::vector<const TensorInfo*> SameWithoutWrappers(std::string_view name) const;
  Result<const TensorInfo*> Search(std::string_view name, NamePrefixes* prefixes) const;

  std::span<const TensorInfo> base_;
  NewerNames newer_;
  std::map<std::string, const TensorInfo*, std::less<>> newer_names_;
  std::multimap<std::string, const TensorInfo*, std::less<>> unwrapped_;
  std::vector<std::pair<std::string, const TensorInfo*>> reversed_;  // names read backwards, sorted
  bool has_module_part_ = false;
};

}  // namespace graft::converter
