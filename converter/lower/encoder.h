// SPDX-License-Identifier: Apache-2.0
// What encoders share: their sizes, layers of attention and MLP, and the heads of their tasks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "converter/lower/lowering.h"
#include "converter/lower/module.h"

namespace graft::converter {

struct EncoderSizes {
  int64_t hidden = 0;
  int64_t mlp_hidden = 0;
  int64_t layers = 0;
  AttentionShape attention;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
};

/// Names of an encoder's members in config.json.
struct EncoderKeys {
  const char* hidden = "hidden_size";
  const char* mlp_hidden = "intermediate_size";
  const char* layers = "num_hidden_layers";
  const char* heads = "num_attention_heads";
  const char* activation = "hidden_act";
};

/// Errors   kCorrupt, kUnsupported: a member missing, out of its range, or heads that do not divide
///          the width; each names the file and key.
Result<EncoderSizes> ReadEncoderSizes(const JsonValue& config, const EncoderKeys& keys = {});

/// Names of a layer's modules below the layer's own name.
struct EncoderLayerNames {
  const char *query, *key, *value, *attention_output;
  const char* attention_norm;
  const char *mlp_up, *mlp_down;
  const char* mlp_norm;
};

/// LayerNorm of "name.weight" and "name.bias", or of "name.gamma" and "name.beta" as old checkpoints
/// call them. `output`: what to call the value, if not after the module.
ValueId EncoderNorm(const Module& module, std::string_view name, ValueId x, float epsilon,
                    const std::string& output = "");

/// How queries and keys, and values if `values`, are turned by their positions.
struct EncoderRope {
  RopeShape shape;
  ValueId positions;
  bool values = false;
};

/// norm(x + attention(x)), then norm(x + mlp(x)), which is called `output` if that is not empty.
/// Source   Vaswani et al. 2017; Devlin et al. 2018.
ValueId PostNormLayer(const EncoderSizes& sizes, const EncoderLayerNames& names,
                      const Module& layer, ValueId x, ValueId text_ends, const std::string& output,
                      const EncoderRope* rope = nullptr);
/// The same of a layer whose rows attended, before the linear layer of what they give.
ValueId PostNormLayerAfter(const EncoderSizes& sizes, const EncoderLayerNames& names,
                           const Module& layer, ValueId x, ValueId attended,
                           const std::string& output);

/// x + attention(norm(x)), then x + mlp(norm(x)), among all rows, or within texts if `text_ends` is
/// given.
/// Source   Dosovitskiy et al. 2020.
ValueId PreNormLayer(const EncoderSizes& sizes, const EncoderLayerNames& names, const Module& layer,
                     ValueId x, bool qkv_bias, ValueId text_ends = {});

/// What config.json's `architectures` makes of an encoder.
enum class EncoderHead : uint8_t { kEmbedding, kSequence, kToken };

/// kEmbedding for the bare model and for pretraining heads, which are left out; a model that has
/// the tensor `classifier` classifies sequences all the same: an adapter brought it.
/// Errors   kUnsupported: another class, named.
Result<EncoderHead> ReadEncoderHead(const JsonValue& config, const GraphBuilder& graph,
                                    const std::string& classifier);

/// Fills in labels and what scores mean, for `count` labels: the names of id2label, if it has as
/// many, else LABEL_0 and so on.
Status DescribeLabels(const JsonValue& config, int64_t count, TaskDescription* task);

/// The scores "logits" of each row, as many as the rows of "classifier.weight".
Status OutputScores(const JsonValue& config, Task kind, const std::string& classifier, ValueId x,
                    GraphBuilder& graph, TaskDescription* task);

/// A vector for each text, called sentence_embedding [texts, width], of its rows by task->pooling.
ValueId PoolTexts(ValueId hidden, ValueId text_ends, GraphBuilder& graph, TaskDescription* task);

/// The outputs of a bare encoder of texts: sentence_embedding [texts, width] by task->pooling, and
/// last_hidden_state [sequence, width].
void OutputEmbeddings(ValueId hidden, ValueId text_ends, GraphBuilder& graph,
                      TaskDescription* task);

}  // namespace graft::converter
