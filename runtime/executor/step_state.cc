// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/step_state.h"

#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

Activation ActivationOf(fb::ActivationKind kind) {
  switch (kind) {
    case fb::ActivationKind::Silu:
      return Activation::kSilu;
    case fb::ActivationKind::Gelu:
      return Activation::kGelu;
    case fb::ActivationKind::GeluTanh:
      return Activation::kGeluTanh;
    case fb::ActivationKind::Relu:
      return Activation::kRelu;
    case fb::ActivationKind::Tanh:
      return Activation::kTanh;
    case fb::ActivationKind::Sigmoid:
      return Activation::kSigmoid;
    case fb::ActivationKind::QuickGelu:
      return Activation::kQuickGelu;
  }
  return Activation::kSilu;
}

Pooling PoolingOf(fb::PoolKind kind) {
  switch (kind) {
    case fb::PoolKind::Row:
      return Pooling::kRow;
    case fb::PoolKind::Mean:
      return Pooling::kMean;
    case fb::PoolKind::Max:
      return Pooling::kMax;
  }
  return Pooling::kRow;
}

const float* FloatsOf(const schema::VerifiedModel& model, int32_t tensor) {
  if (tensor < 0) return nullptr;
  const fb::Tensor& stored = *model.model().tensors()->Get(static_cast<uint32_t>(tensor));
  return reinterpret_cast<const float*>(model.tensor_bytes(stored).data.data());
}

ImageWindow WindowOf(const fb::ImageWindow& window, bool is_planar) {
  const auto places = schema::PlacesOf(window);
  return {window.channels(),
          window.height(),
          window.width(),
          window.kernel_height(),
          window.kernel_width(),
          window.stride_height(),
          window.stride_width(),
          window.pad_height(),
          window.pad_width(),
          window.dilation_height(),
          window.dilation_width(),
          places.ok() ? static_cast<size_t>(places->width) : 1,
          is_planar};
}

}  // namespace

void ReadStep(const Plan& plan, const Step& step, std::span<const KvView> caches,
              StepState* state) {
  const schema::VerifiedModel& model = plan.model();
  const fb::Op* op = step.ops.empty() ? nullptr : &plan.op(step.ops[0]);
  switch (step.kind) {
    case StepKind::kEmbedding: {
      const fb::Embedding& embedding = *op->attributes_as_Embedding();
      state->table =
          MatrixOf(model, *model.model().tensors()->Get(static_cast<uint32_t>(embedding.table())));
      state->factor = embedding.scale();
      break;
    }
    case StepKind::kAngles: {
      const fb::Rope& rope = *op->attributes_as_Rope();
      state->weight = FloatsOf(model, rope.inverse_frequencies());
      state->half = rope.rotary_dim() / 2;
      state->factor = rope.magnitude();
      break;
    }
    case StepKind::kRope: {
      const fb::Rope& rope = *op->attributes_as_Rope();
      state->group = rope.head_dim();
      state->half = rope.rotary_dim() / 2;
      state->interleaved = rope.interleaved();
      break;
    }
    case StepKind::kRmsNorm: {
      const fb::RmsNorm& norm = *op->attributes_as_RmsNorm();
      state->weight = FloatsOf(model, norm.weight());
      state->group = static_cast<size_t>(
          model.model().tensors()->Get(static_cast<uint32_t>(norm.weight()))->shape()->Get(0));
      state->factor = norm.epsilon();
      break;
    }
    case StepKind::kLayerNorm: {
      const fb::LayerNorm& norm = *op->attributes_as_LayerNorm();
      state->weight = FloatsOf(model, norm.weight());
      state->bias = FloatsOf(model, norm.bias());
      state->factor = norm.epsilon();
      break;
    }
    case StepKind::kStoreKv:
    case StepKind::kAttention: {
      const fb::Attention& attention = *op->attributes_as_Attention();
      state->attention = {attention.heads(), attention.kv_heads(), attention.head_dim(),
                          attention.scale(), attention.soft_cap(), attention.window(),
                          attention.causal()};
      state->cached = attention.kv_cache() >= 0;
      if (state->cached) {
        state->view = caches[static_cast<size_t>(attention.kv_cache())];
      } else {
        state->view.kv_heads = attention.kv_heads();
        state->view.head_dim = attention.head_dim();
      }
      break;
    }
    case StepKind::kActivation:
      state->activation = ActivationOf(op->attributes_as_Activation()->kind());
      break;
    case StepKind::kGatedActivation:
      state->activation = ActivationOf(op->attributes_as_GatedActivation()->kind());
      break;
    case StepKind::kScale:
      state->factor = op->attributes_as_Scale()->factor();
      break;
    case StepKind::kPoolRows:
      state->pool = PoolingOf(op->attributes_as_PoolRows()->kind());
      state->pool_index = op->attributes_as_PoolRows()->index();
      break;
    case StepKind::kConstant:
      state->weight = FloatsOf(model, op->attributes_as_Constant()->tensor());
      break;
    case StepKind::kPatches: {
      const bool is_planar = plan.values()[static_cast<size_t>(step.inputs[0])].shape.size() == 3;
      state->window = WindowOf(*op->attributes_as_Patches()->window(), is_planar);
      break;
    }
    case StepKind::kPoolPixels:
      state->pool = PoolingOf(op->attributes_as_PoolPixels()->kind());
      state->window = WindowOf(*op->attributes_as_PoolPixels()->window(), false);
      break;
    case StepKind::kLinears:
    case StepKind::kQuantize:
    case StepKind::kAdd:
    case StepKind::kMultiply:
    case StepKind::kSelectRows:
    case StepKind::kConcatenateRows:
      break;
  }
}

}  // namespace graft::runtime
