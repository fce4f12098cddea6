// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/model_inputs.h"

#include "schema/generated/model_generated.h"
#include "schema/verify.h"

namespace graft::runtime {
namespace fb = schema::fb;

namespace {

// The caller brings images; the session makes patches of them.
ModelInput PixelsOf(const Model& model, const fb::Value& value) {
  const fb::Pictures& pictures = *model.verified().model().task()->pictures();
  const fb::ImageInput& image = *pictures.image();
  const bool any =
      pictures.layout() == fb::PictureLayout::Grid || pictures.layout() == fb::PictureLayout::Area;
  return {value.name()->c_str(),
          ElementType::kFloat32,
          4,
          {-1, image.channels(), any ? -1 : int64_t{image.height()},
           any ? -1 : int64_t{image.width()}}};
}

}  // namespace

Result<ModelInput> DescribeInput(const Model& model, size_t index) {
  const fb::Graph& graph = *model.verified().model().graph();
  const bool takes_texts = model.verified().facts().text_ends != nullptr;
  size_t left = index;
  for (const auto role :
       {fb::InputRole::TokenIds, fb::InputRole::Tensor, fb::InputRole::SourceIds,
        fb::InputRole::SourceFeatures, fb::InputRole::TokenTypes, fb::InputRole::ImagePatches}) {
    for (const fb::GraphInput* candidate : *graph.inputs()) {
      if (candidate->role() != role || left-- != 0) continue;
      const fb::Value& value = *graph.values()->Get(static_cast<uint32_t>(candidate->value()));
      if (role == fb::InputRole::ImagePatches) return PixelsOf(model, value);
      ModelInput input;
      input.name = value.name()->c_str();
      input.type = static_cast<ElementType>(value.type());
      if (takes_texts) input.shape[input.rank++] = -1;
      for (uint32_t i = 0; i < value.shape()->size() && input.rank < kMaxInputRank; ++i) {
        const fb::Dimension& dimension = *value.shape()->Get(i);
        // Of features, sizes of 1 say nothing.
        if (role == fb::InputRole::SourceFeatures && dimension.size() == 1) continue;
        input.shape[input.rank++] = dimension.symbol() >= 0 ? -1 : dimension.size();
      }
      return input;
    }
  }
  if (!takes_texts || left != 0)
    return Error(StatusCode::kOutOfRange, "the model has no input %zu", index);
  return ModelInput{"attention_mask", ElementType::kInt32, 2, {-1, -1}};
}

}  // namespace graft::runtime
