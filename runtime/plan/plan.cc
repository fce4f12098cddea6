// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan.h"

#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

StepKind KindOf(fb::OpAttributes attributes) {
  switch (attributes) {
    case fb::OpAttributes::Embedding:
      return StepKind::kEmbedding;
    case fb::OpAttributes::Linear:
      return StepKind::kLinears;
    case fb::OpAttributes::RmsNorm:
      return StepKind::kRmsNorm;
    case fb::OpAttributes::LayerNorm:
      return StepKind::kLayerNorm;
    case fb::OpAttributes::Rope:
      return StepKind::kRope;
    case fb::OpAttributes::Attention:
      return StepKind::kAttention;
    case fb::OpAttributes::Multiply:
      return StepKind::kMultiply;
    case fb::OpAttributes::Activation:
      return StepKind::kActivation;
    case fb::OpAttributes::GatedActivation:
      return StepKind::kGatedActivation;
    case fb::OpAttributes::SelectRows:
      return StepKind::kSelectRows;
    case fb::OpAttributes::Scale:
      return StepKind::kScale;
    case fb::OpAttributes::PoolRows:
      return StepKind::kPoolRows;
    case fb::OpAttributes::Constant:
      return StepKind::kConstant;
    case fb::OpAttributes::ConcatenateRows:
      return StepKind::kConcatenateRows;
    case fb::OpAttributes::Patches:
      return StepKind::kPatches;
    case fb::OpAttributes::PoolPixels:
      return StepKind::kPoolPixels;
    case fb::OpAttributes::Add:
    case fb::OpAttributes::NONE:  // not in a verified model
      break;
  }
  return StepKind::kAdd;
}

bool IsQuantized(fb::TensorFormat format) {
  return format == fb::TensorFormat::Int8PerChannel || format == fb::TensorFormat::Int4Block ||
         format == fb::TensorFormat::Int4PerChannel;
}

// Of the kinds that make one step of one op. The others read rows that other threads may be at.
bool IsRowLocal(StepKind kind) {
  return kind != StepKind::kSelectRows && kind != StepKind::kPoolRows &&
         kind != StepKind::kConcatenateRows && kind != StepKind::kPatches &&
         kind != StepKind::kPoolPixels;
}

}  // namespace

const char* StepKindName(StepKind kind) {
  switch (kind) {
    case StepKind::kEmbedding:
      return "embedding";
    case StepKind::kAngles:
      return "angles";
    case StepKind::kQuantize:
      return "quantize";
    case StepKind::kLinears:
      return "linears";
    case StepKind::kRmsNorm:
      return "rms_norm";
    case StepKind::kLayerNorm:
      return "layer_norm";
    case StepKind::kRope:
      return "rope";
    case StepKind::kStoreKv:
      return "store_kv";
    case StepKind::kAttention:
      return "attention";
    case StepKind::kAdd:
      return "add";
    case StepKind::kMultiply:
      return "multiply";
    case StepKind::kActivation:
      return "activation";
    case StepKind::kGatedActivation:
      return "gated_activation";
    case StepKind::kSelectRows:
      return "select_rows";
    case StepKind::kScale:
      return "scale";
    case StepKind::kPoolRows:
      return "pool_rows";
    case StepKind::kConstant:
      return "constant";
    case StepKind::kConcatenateRows:
      return "concatenate_rows";
    case StepKind::kPatches:
      return "patches";
    case StepKind::kPoolPixels:
      return "pool_pixels";
  }
  return "unknown";
}

const fb::Op& Plan::op(uint32_t index) const { return *model_.model().graph()->ops()->Get(index); }

Plan::Plan(const schema::VerifiedModel& model) : model_(model) {
  const fb::Graph& graph = *model.model().graph();
  symbols_ = graph.symbols() ? graph.symbols()->size() : 0;
  for (const fb::Value* value : *graph.values()) {
    PlanValue planned;
    planned.name = value->name()->string_view();
    planned.kind = value->type() == fb::ElementType::Int32 ? ValueKind::kInt : ValueKind::kFloat;
    for (const fb::Dimension* dimension : *value->shape()) {
      planned.shape.push_back({dimension->size(), dimension->symbol()});
    }
    values_.push_back(std::move(planned));
  }
  quantized_form_.assign(values_.size(), -1);
  for (const fb::GraphInput* input : *graph.inputs()) {
    switch (input->role()) {
      case fb::InputRole::Tensor:
        tensor_inputs_.push_back(input->value());
        break;
      case fb::InputRole::TokenIds:
        token_ids_ = input->value();
        break;
      case fb::InputRole::Positions:
        positions_ = input->value();
        break;
      case fb::InputRole::OutputRows:
        output_rows_ = input->value();
        break;
      case fb::InputRole::TokenTypes:
        token_types_ = input->value();
        break;
      case fb::InputRole::TextEnds:
        text_ends_ = input->value();
        break;
    }
  }
  for (const int32_t output : *graph.outputs()) {
    outputs_.push_back(output);
    values_[static_cast<size_t>(output)].is_output = true;
  }
  can_chunk_ = token_ids_ >= 0 && tensor_inputs_.empty();

  std::vector<bool> done(graph.ops()->size(), false);
  for (uint32_t i = 0; i < graph.ops()->size(); ++i) {
    if (done[i]) continue;
    const fb::Op& op = *graph.ops()->Get(i);
    switch (op.attributes_type()) {
      case fb::OpAttributes::Linear:
        AddLinears(i, done);
        continue;
      case fb::OpAttributes::Attention:
        AddAttention(i);
        continue;
      default:
        break;
    }
    Step step{.kind = KindOf(op.attributes_type()), .ops = {i}, .inputs = {}, .outputs = {}};
    step.inputs.assign(op.inputs()->begin(), op.inputs()->end());
    step.outputs.assign(op.outputs()->begin(), op.outputs()->end());
    if (step.kind == StepKind::kRope) step.inputs[1] = AnglesFor(i);
    step.row_local = IsRowLocal(step.kind);
    steps_.push_back(std::move(step));
  }
}

int32_t Plan::AddValue(ValueKind kind, const PlanDimension& rows, size_t width) {
  PlanValue value;
  value.kind = kind;
  value.shape = {rows};
  value.width = width;
  values_.push_back(std::move(value));
  return static_cast<int32_t>(values_.size()) - 1;
}

int32_t Plan::QuantizedFormOf(int32_t value) {
  const auto index = static_cast<size_t>(value);
  if (quantized_form_[index] >= 0) return quantized_form_[index];
  const PlanDimension rows = values_[index].shape[0];
  const auto width =
      static_cast<size_t>(values_[index].shape[1].size);  // a linear's input is [rows, width]
  const int32_t quantized = AddValue(ValueKind::kQuantized, rows, width);
  quantized_form_[index] = quantized;
  steps_.push_back(
      {.kind = StepKind::kQuantize, .ops = {}, .inputs = {value}, .outputs = {quantized}});
  return quantized;
}

int32_t Plan::AnglesFor(uint32_t op_index) {
  const fb::Op& rope_op = op(op_index);
  const fb::Rope& rope = *rope_op.attributes_as_Rope();
  for (const Angles& angles : angles_) {
    if (angles.inverse_frequencies == rope.inverse_frequencies() &&
        angles.magnitude == rope.magnitude()) {
      return angles.value;
    }
  }
  const int32_t positions = rope_op.inputs()->Get(1);
  const int32_t value = AddValue(
      ValueKind::kAngles, values_[static_cast<size_t>(positions)].shape[0], rope.rotary_dim());
  steps_.push_back(
      {.kind = StepKind::kAngles, .ops = {op_index}, .inputs = {positions}, .outputs = {value}});
  angles_.push_back({rope.inverse_frequencies(), rope.magnitude(), value});
  return value;
}

// All linears that read one value become one step: their slices are shared out among the threads
// together.
void Plan::AddLinears(uint32_t op_index, std::vector<bool>& done) {
  const fb::Graph& graph = *model_.model().graph();
  const int32_t input = op(op_index).inputs()->Get(0);
  Step step{.kind = StepKind::kLinears,
            .ops = {},
            .inputs = {input, -1},
            .outputs = {},
            .row_local = false,
            .by_rows = false};
  for (uint32_t i = op_index; i < graph.ops()->size(); ++i) {
    const fb::Linear* linear = op(i).attributes_as_Linear();
    if (linear == nullptr || op(i).inputs()->Get(0) != input) continue;
    done[i] = true;
    step.ops.push_back(i);
    step.outputs.push_back(op(i).outputs()->Get(0));
    if (IsQuantized(
            model_.model().tensors()->Get(static_cast<uint32_t>(linear->weight()))->format())) {
      step.inputs[1] = QuantizedFormOf(input);
    }
  }
  steps_.push_back(std::move(step));
}

void Plan::AddAttention(uint32_t op_index) {
  const fb::Op& attention_op = op(op_index);
  const fb::Attention& attention = *attention_op.attributes_as_Attention();
  const auto& inputs = *attention_op.inputs();
  Step store{.kind = StepKind::kStoreKv,
             .ops = {op_index},
             .inputs = {inputs[1], inputs[2]},
             .outputs = {}};
  Step attend{.kind = StepKind::kAttention,
              .ops = {op_index},
              .inputs = {inputs[0]},
              .outputs = {attention_op.outputs()->Get(0)},
              .row_local = false,
              .by_rows = false};
  if (attention.kv_cache() >= 0) {
    store.keeps_state = true;
    has_state_ = true;
  } else {
    const int32_t stored =
        AddValue(ValueKind::kKeyValues, values_[static_cast<size_t>(inputs[1])].shape[0],
                 attention.head_dim());
    values_.back().kv_heads = attention.kv_heads();
    store.outputs.push_back(stored);
    attend.inputs.push_back(stored);
    if (inputs.size() == 4 && inputs[3] == text_ends_) {
      values_.back().texts_symbol = values_[static_cast<size_t>(text_ends_)].shape[0].symbol;
      store.inputs.push_back(text_ends_);
      attend.inputs.push_back(text_ends_);
    }
    can_chunk_ = false;
  }
  steps_.push_back(std::move(store));
  steps_.push_back(std::move(attend));
}

size_t Plan::rows(int32_t value, const Binding& binding) const {
  const PlanDimension& rows = values_[static_cast<size_t>(value)].shape[0];
  return static_cast<size_t>(rows.symbol >= 0 ? binding[static_cast<size_t>(rows.symbol)]
                                              : rows.size);
}

size_t Plan::row_elements(int32_t value, const Binding& binding) const {
  const PlanValue& planned = values_[static_cast<size_t>(value)];
  if (planned.width != 0) return planned.width;
  size_t elements = 1;
  for (size_t i = 1; i < planned.shape.size(); ++i) {
    const PlanDimension& dimension = planned.shape[i];
    elements *= static_cast<size_t>(
        dimension.symbol >= 0 ? binding[static_cast<size_t>(dimension.symbol)] : dimension.size);
  }
  return elements;
}

}  // namespace graft::runtime
