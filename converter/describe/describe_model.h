// SPDX-License-Identifier: Apache-2.0
// From a model's folder to its description: which lowering, which tokenizer, which tokens end a
// text.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "converter/checkpoint/checkpoint.h"
#include "converter/lower/layer_stack/layer_stack.h"
#include "converter/lower/model_description.h"
#include "converter/merge/merged_source.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// A base with whatever is merged into it.
struct OpenedModel {
  std::filesystem::path path;  ///< As given: a folder, or a .safetensors file.
  std::shared_ptr<const Checkpoint> base;
  std::unique_ptr<MergedSource> merged;  ///< Null if there is nothing to merge.
  /// If the model is a stack of layers: by graft.json or, with no config.json either, by its
  /// tensors' names.
  std::optional<LayerStack> stack;
  std::unique_ptr<TensorSource> with_inline_loras;  ///< Null if the stack has none.
  bool long_context = false;                        ///< As TaskDescription has it.
  bool text_only = false;                           ///< Parts that see are left out.

  const TensorSource& source() const {
    if (with_inline_loras) return *with_inline_loras;
    return merged ? static_cast<const TensorSource&>(*merged) : *base;
  }
};

/// Errors   kNotFound: neither config.json nor graft.json, and tensors that do not explain
///          themselves. Those of Checkpoint, MergedSource and MergeInlineLoras.
Result<OpenedModel> OpenModel(const std::filesystem::path& path,
                              std::span<const AdapterSpec> adapters, const MergeRules& rules = {});

/// Describes the model in `header`. For models with a config.json also reads tokenizer.json,
/// generation_config.json, preprocessor_config.json and the chat template beside it; an adapter's
/// own take their place, and config.json is read as a merged checkpoint would have it.
/// Requires header.ForceDefaults(true).
/// Errors   kUnsupported (an adapter that changes a tensor the graph does not use among others),
///          kCorrupt, kMismatch, kIo, each naming the file and what in it.
Result<ModelDescription> DescribeModel(const OpenedModel& model,
                                       flatbuffers::FlatBufferBuilder& header);

}  // namespace graft::converter
