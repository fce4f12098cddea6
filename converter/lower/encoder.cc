// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/encoder.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "converter/lower/activation.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

ValueId SelfAttention(const EncoderSizes& sizes, const EncoderLayerNames& names,
                      const Module& layer, ValueId x, ValueId text_ends, bool qkv_bias,
                      const EncoderRope* rope = nullptr) {
  const int64_t width = sizes.attention.heads * sizes.attention.head_dim;
  const ValueId query = layer.Linear(names.query, x, width, qkv_bias);
  const ValueId key = layer.Linear(names.key, x, width, qkv_bias);
  const ValueId value = layer.Linear(names.value, x, width, qkv_bias);
  const auto turned = [&](const char* name, ValueId rows, bool turns) {
    if (rope == nullptr || !turns) return rows;
    return layer.graph().Rope(layer.Name(name) + ".rope", rows, rope->positions, rope->shape);
  };
  const ValueId turned_query = turned(names.query, query, true);
  const ValueId turned_key = turned(names.key, key, true);
  const ValueId turned_value = turned(names.value, value, rope != nullptr && rope->values);
  return layer.graph().Attention(layer.Name("attention"), turned_query, turned_key, turned_value,
                                 text_ends, sizes.attention);
}

ValueId Mlp(const EncoderSizes& sizes, const EncoderLayerNames& names, const Module& layer,
            ValueId x) {
  ValueId h = layer.Linear(names.mlp_up, x, sizes.mlp_hidden, /*bias=*/true);
  h = layer.graph().Activation(layer.Name("mlp.act"), h, sizes.activation);
  return layer.Linear(names.mlp_down, h, sizes.hidden, /*bias=*/true);
}

}  // namespace

Result<EncoderSizes> ReadEncoderSizes(const JsonValue& config, const EncoderKeys& keys) {
  EncoderSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.hidden, config.GetIntIn(keys.hidden, 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden, config.GetIntIn(keys.mlp_hidden, 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(sizes.layers, config.GetIntIn(keys.layers, 1, kMaxLayers));
  AttentionShape& attention = sizes.attention;
  GRAFT_ASSIGN_OR_RETURN(attention.heads, config.GetIntIn(keys.heads, 1, kMaxHeads));
  if (sizes.hidden % attention.heads != 0) {
    return config.Find(keys.heads)
        .Fail("is " + std::to_string(attention.heads) + ", which does not divide the width of " +
              std::to_string(sizes.hidden));
  }
  attention.kv_heads = attention.heads;
  attention.head_dim = sizes.hidden / attention.heads;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  GRAFT_ASSIGN_OR_RETURN(sizes.epsilon, ReadEpsilon(config, "layer_norm_eps", 1e-12));
  GRAFT_ASSIGN_OR_RETURN(sizes.activation, ReadActivation(config, keys.activation));
  return sizes;
}

ValueId EncoderNorm(const Module& module, std::string_view name, ValueId x, float epsilon,
                    const std::string& output) {
  GraphBuilder& g = module.graph();
  const std::string norm = module.Name(name);
  const bool old_names = !g.Has(norm + ".weight") && g.Has(norm + ".gamma");
  const TensorId weight = g.Vector(norm + (old_names ? ".gamma" : ".weight"), g.Width(x));
  const TensorId bias = g.Vector(norm + (old_names ? ".beta" : ".bias"), g.Width(x));
  return g.LayerNorm(output.empty() ? norm : output, x, weight, bias, epsilon);
}

ValueId PostNormLayer(const EncoderSizes& sizes, const EncoderLayerNames& names,
                      const Module& layer, ValueId x, ValueId text_ends, const std::string& output,
                      const EncoderRope* rope) {
  const ValueId attended =
      SelfAttention(sizes, names, layer, x, text_ends, /*qkv_bias=*/true, rope);
  return PostNormLayerAfter(sizes, names, layer, x, attended, output);
}

ValueId PostNormLayerAfter(const EncoderSizes& sizes, const EncoderLayerNames& names,
                           const Module& layer, ValueId x, ValueId attended,
                           const std::string& output) {
  ValueId h = layer.Linear(names.attention_output, attended, sizes.hidden, /*bias=*/true);
  x = layer.graph().Add(layer.Name("attention_residual"), x, h);
  x = EncoderNorm(layer, names.attention_norm, x, sizes.epsilon);
  h = Mlp(sizes, names, layer, x);
  x = layer.graph().Add(layer.Name("mlp_residual"), x, h);
  return EncoderNorm(layer, names.mlp_norm, x, sizes.epsilon, output);
}

ValueId PreNormLayer(const EncoderSizes& sizes, const EncoderLayerNames& names, const Module& layer,
                     ValueId x, bool qkv_bias, ValueId text_ends) {
  ValueId h = EncoderNorm(layer, names.attention_norm, x, sizes.epsilon);
  h = SelfAttention(sizes, names, layer, h, text_ends, qkv_bias);
  h = layer.Linear(names.attention_output, h, sizes.hidden, /*bias=*/true);
  x = layer.graph().Add(layer.Name("attention_residual"), x, h);
  h = EncoderNorm(layer, names.mlp_norm, x, sizes.epsilon);
  h = Mlp(sizes, names, layer, h);
  return layer.graph().Add(layer.Name("mlp_residual"), x, h);
}

Result<EncoderHead> ReadEncoderHead(const JsonValue& config, const GraphBuilder& graph,
                                    const std::string& classifier) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.GetStrings("architectures"));
  const std::string name = names.empty() ? "Model" : names[0];
  if (name.ends_with("ForSequenceClassification")) return EncoderHead::kSequence;
  if (name.ends_with("ForTokenClassification")) return EncoderHead::kToken;
  if (name.ends_with("Model") || name.ends_with("ForMaskedLM") ||
      name.ends_with("ForPreTraining")) {
    return graph.Has(classifier) ? EncoderHead::kSequence : EncoderHead::kEmbedding;
  }
  return config.Find("architectures")
      .Fail("is " + name +
                "; of encoders this version converts the bare model, "
                "ForSequenceClassification and ForTokenClassification",
            StatusCode::kUnsupported);
}

Status DescribeLabels(const JsonValue& config, int64_t count, TaskDescription* task) {
  std::vector<std::string> labels(static_cast<size_t>(count));
  const JsonValue names = config.Find("id2label");
  if (names.IsObject() && names.size() == labels.size()) {
    for (size_t i = 0; i < labels.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(labels[i], names.GetString(std::to_string(i)));
    }
  } else {
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = "LABEL_" + std::to_string(i);
  }
  task->labels = std::move(labels);
  GRAFT_ASSIGN_OR_RETURN(const std::string problem, config.GetString("problem_type", ""));
  if (problem == "regression") {
    task->scores = ScoreKind::kRaw;
  } else if (problem == "multi_label_classification" || count == 1) {
    task->scores = ScoreKind::kSigmoid;
  }
  return OkStatus();
}

Status OutputScores(const JsonValue& config, Task kind, const std::string& classifier, ValueId x,
                    GraphBuilder& graph, TaskDescription* task) {
  const int64_t labels = std::max<int64_t>(1, graph.RowsOf(classifier + ".weight"));
  task->task = kind;
  GRAFT_RETURN_IF_ERROR(DescribeLabels(config, labels, task));
  const TensorId weight = graph.Matrix(classifier + ".weight", labels, graph.Width(x));
  graph.Output(graph.Linear("logits", x, weight, graph.Vector(classifier + ".bias", labels)));
  return OkStatus();
}

ValueId PoolTexts(ValueId hidden, ValueId text_ends, GraphBuilder& graph, TaskDescription* task) {
  const int64_t width = graph.Width(hidden);
  task->task = Task::kEmbedding;
  using Kind = TextPooling::Kind;
  const Kind kind = task->pooling.kind;
  const auto pool = kind == Kind::kMean  ? schema::fb::PoolKind::Mean
                    : kind == Kind::kMax ? schema::fb::PoolKind::Max
                                         : schema::fb::PoolKind::Row;
  const bool normalize = task->pooling.normalize;
  ValueId x = graph.PoolRows(normalize ? "pooled" : "sentence_embedding", hidden, text_ends, pool,
                             kind == Kind::kLast ? -1 : 0);
  if (normalize) {
    // x / |x| is x / sqrt(mean(x^2)) times 1 / sqrt(width).
    constexpr double kLeastLength = 1e-12;
    const auto root = std::sqrt(static_cast<double>(width));
    const TensorId weight = graph.Literal(
        "unit_length",
        std::vector<float>(static_cast<size_t>(width), static_cast<float>(1.0 / root)));
    const double epsilon = kLeastLength * kLeastLength / static_cast<double>(width);
    x = graph.RmsNorm("sentence_embedding", x, weight, static_cast<float>(epsilon));
  }
  return x;
}

void OutputEmbeddings(ValueId hidden, ValueId text_ends, GraphBuilder& graph,
                      TaskDescription* task) {
  graph.Output(PoolTexts(hidden, text_ends, graph, task));
  graph.Output(hidden);
}

}  // namespace graft::converter
