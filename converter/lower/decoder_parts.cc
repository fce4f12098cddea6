// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/decoder_parts.h"

#include <algorithm>

#include "converter/lower/decoder_config.h"
#include "converter/lower/encoder.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr std::string_view kScores = "score.weight";

bool IsBareModel(std::string_view name) {
  return name.ends_with("Model") && !name.ends_with("HeadModel") && !name.ends_with("HeadsModel");
}

Result<DecoderHead> ReadHead(const JsonValue& config, const GraphBuilder& graph,
                             const TextPooling& pooling) {
  // Whatever the base was, an adapter may have brought scores.
  if (graph.Has(kScores)) return DecoderHead::kScores;
  const DecoderHead usual = pooling.stated ? DecoderHead::kEmbedding : DecoderHead::kLogits;
  const JsonValue architectures = config.Find("architectures");
  if (architectures.IsNull() || architectures.size() == 0) return usual;
  GRAFT_ASSIGN_OR_RETURN(const std::string_view name, architectures.at(0).AsString());
  if (name.ends_with("ForCausalLM") || name.ends_with("LMHeadModel")) return usual;
  if (name.ends_with("ForSequenceClassification")) return DecoderHead::kScores;
  if (IsBareModel(name)) return DecoderHead::kEmbedding;
  return architectures.at(0).Fail("is " + architectures.at(0).Text() +
                                      "; of decoders this version converts the bare model, "
                                      "ForCausalLM, LMHeadModel and ForSequenceClassification",
                                  StatusCode::kUnsupported);
}

Status AddScores(const JsonValue& config, GraphBuilder& graph, ValueId x, const LanguageHead& head,
                 TaskDescription* task) {
  const int64_t labels = std::max<int64_t>(1, graph.RowsOf(kScores));
  graph.Output(graph.Linear("logits", x, graph.Matrix(kScores, labels, graph.Width(x))));
  task->task = Task::kClassification;
  GRAFT_ASSIGN_OR_RETURN(task->pad_token,
                         ReadPadToken(config, head.vocabulary, head.usual_padding));
  return DescribeLabels(config, labels, task);
}

}  // namespace

DecoderInputs::DecoderInputs(GraphBuilder& graph, DecoderHead decoder_head) : head(decoder_head) {
  ids = graph.TokenIds();
  positions = graph.Positions();
  if (head == DecoderHead::kEmbedding) {
    text_ends = graph.TextEnds();
  } else {
    output_rows = graph.OutputRows();
  }
}

ValueId DecoderInputs::HeadRows(GraphBuilder& graph, ValueId x) const {
  return head == DecoderHead::kEmbedding ? x : graph.SelectRows("last_hidden", x, output_rows);
}

Result<DecoderInputs> AddDecoderInputs(const JsonValue& config, GraphBuilder& graph,
                                       const TaskDescription& task) {
  GRAFT_ASSIGN_OR_RETURN(const DecoderHead head, ReadHead(config, graph, task.pooling));
  return DecoderInputs(graph, head);
}

Module ModelModule(GraphBuilder& graph, std::string_view family, std::string_view embedding) {
  const bool bare = graph.Has(std::string(embedding) + ".weight");
  return Module(graph, bare ? std::string() : std::string(family));
}

RopeShape AddRope(GraphBuilder& graph, std::string_view name, const RopeFrequencies& frequencies,
                  int64_t head_dim) {
  RopeShape rope;
  rope.head_dim = head_dim;
  rope.rotary_dim = static_cast<int64_t>(2 * frequencies.inverse.size());
  rope.magnitude = frequencies.magnitude;
  rope.positions = frequencies.positions;
  rope.axes = frequencies.axes;
  rope.inverse_frequencies = graph.Literal(name, frequencies.inverse);
  return rope;
}

ValueId Attend(const Module& module, ValueId query, ValueId key, ValueId value, ValueId positions,
               const AttentionShape& shape, const std::optional<RopeShape>& rope) {
  GraphBuilder& graph = module.graph();
  if (rope) {
    query = graph.Rope(module.Name("q_rope"), query, positions, *rope);
    key = graph.Rope(module.Name("k_rope"), key, positions, *rope);
  }
  if (const ValueId text_ends = graph.text_ends(); text_ends.index >= 0) {
    return graph.Attention(module.path(), query, key, value, text_ends, shape, /*causal=*/true);
  }
  return graph.CachedAttention(module.path(), query, key, value, positions, shape);
}

ValueId GatedMlp(const Module& module, ValueId x, int64_t hidden,
                 schema::fb::ActivationKind activation, bool bias, double down_factor) {
  GraphBuilder& graph = module.graph();
  const int64_t width = graph.Width(x);
  const ValueId gate = module.Linear("gate_proj", x, hidden, bias);
  const ValueId up = module.Linear("up_proj", x, hidden, bias);
  const ValueId gated = graph.GatedActivation(module.Name("act"), gate, up, activation);
  return module.Linear("down_proj", gated, width, bias, down_factor);
}

Status AddHead(const JsonValue& config, GraphBuilder& graph, ValueId x, const DecoderInputs& inputs,
               const LanguageHead& head, TaskDescription* task) {
  if (inputs.head == DecoderHead::kScores) return AddScores(config, graph, x, head, task);
  if (inputs.head == DecoderHead::kEmbedding) {
    graph.Output(PoolTexts(x, inputs.text_ends, graph, task));
    return OkStatus();
  }
  // A stored copy of the embedding was left out before. A head that is there all the same differs:
  // it was stored so, or an adapter changed one of the two matrices.
  const bool untied = !task->tied.value_or(head.tied) || graph.Has(head.weight);
  const TensorId weight =
      graph.Matrix(untied ? head.weight : head.embedding, head.vocabulary, graph.Width(x));
  graph.MarkVocabulary(weight);
  const TensorId bias = head.bias ? graph.Vector("lm_head.bias", head.vocabulary) : TensorId{};
  if (head.soft_cap == 0.0f) {
    graph.Output(graph.Linear("logits", x, weight, bias));
    return OkStatus();
  }
  x = graph.Linear("logits_before_cap", x, weight, bias);
  x = graph.Scale("logits_within_cap", x, 1.0f / head.soft_cap);
  x = graph.Activation("logits_capped", x, schema::fb::ActivationKind::Tanh);
  graph.Output(graph.Scale("logits", x, head.soft_cap));
  return OkStatus();
}

}  // namespace graft::converter
