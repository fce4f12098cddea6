// SPDX-License-Identifier: Apache-2.0
// A small Llama of random weights: the whole path of a text model, with its reference in f64.
#pragma once

#include <memory>
#include <vector>

#include "tests/reference/op_reference.h"

namespace graft::test {

class TinyLlama {
 public:
  explicit TinyLlama(fb::TensorFormat format, uint32_t context_tokens = 256);

  const std::shared_ptr<const runtime::Model>& model() const { return model_; }
  const AlignedBytes& file() const { return graph_.file(); }
  /// Logits of every position. Of the float formats, or with activations quantized as the kernels
  /// do. half_cache: keys and values rounded to f16 on their way through the cache.
  Numbers Expected(const std::vector<int32_t>& ids, bool half_cache = false) const;

  static std::vector<int32_t> Ids(size_t count);
  static constexpr size_t kVocabulary = 211;

 private:
  struct Layer {
    Weight input_norm, query, key, value, output, mlp_norm, gate, up, down;
  };
  Numbers Linear(const Numbers& x, const Weight& weight) const;

  GraphMaker graph_;
  fb::TensorFormat format_;
  Weight table_, final_norm_, frequencies_;
  std::vector<Layer> layers_;
  std::shared_ptr<const runtime::Model> model_;
};

/// Logits of all positions by Session::Forward.
Numbers ForwardIds(runtime::Session& session, const std::vector<int32_t>& ids);

}  // namespace graft::test
