// SPDX-License-Identifier: Apache-2.0
// TiedEmbeddings: which matrices a base's input embedding and output head are, and whether its
// configuration ties the two.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

struct TiedEmbeddings {
  std::string
      input;         ///< The input embedding's tensor; empty if the base has none that can be told.
  std::string head;  ///< The name a head of its own would have, such as "lm_head.weight".
  bool has_head = false;  ///< The base stores a head of its own: one that is no copy of `input`.
  /// The configuration ties the two. Without a head of its own the model uses `input`; with one it
  /// uses that, and programs that train still treat both alike where they can.
  bool tied = false;

  /// Judges by the base's tensors and, where there is one, `folder`/config.json. Without a config,
  /// a base with token embeddings, no head and decoder layers under "model." counts as tied if
  /// `causal` (the adapter's task) says it generates text.
  /// Errors   those of reading a config.json that is there.
  static Result<TiedEmbeddings> Find(const TensorSource& base, const std::filesystem::path& folder,
                                     bool causal);

  /// The names alone: `tied` stays false, and nothing is read.
  static TiedEmbeddings FindNames(const TensorSource& base);

  /// Whether a config.json makes the model use its input embedding as the head. Where it does not
  /// say, a model whose head is stored (`has_head`) does what is usual for its model_type; one
  /// without a head can only be tied.
  /// Errors   those of reading it.
  static Result<bool> TiedByConfig(const std::filesystem::path& config_file, bool has_head);

  /// What a decoder whose tensors are `base` calls its input embedding, by the names of its layers;
  /// empty if they do not say.
  static std::string InputName(const TensorSource& base);

  /// Whether a module name can only mean an output head.
  static bool IsHeadModule(std::string_view module);
};

}  // namespace graft::converter
