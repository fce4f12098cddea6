// SPDX-License-Identifier: Apache-2.0
// Tensor names that newer releases of transformers spell otherwise while their checkpoints keep the
// old spelling.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// Adapters trained under the newer release use its spelling; a merged checkpoint keeps the older
/// one, which both releases read.
class NewerNames {
 public:
  /// Looks at `base` to see which families of names it belongs to.
  explicit NewerNames(std::span<const TensorInfo> base);

  /// The newer spelling of the base tensor `name`; `name` itself if that did not change.
  std::string Of(std::string_view name) const;

  /// Whether `base` is a ViT or its like, which is nothing but a model that sees.
  bool is_vision_transformer() const { return vision_transformer_; }

 private:
  bool vision_transformer_ = false;
  bool nomic_bert_ = false;
  bool gpt_neox_ = false;
  bool mixtral_ = false;
  bool phimoe_ = false;
  bool swin_ = false;
  bool segformer_ = false;
  bool dinov3_ = false;
};

}  // namespace graft::converter
