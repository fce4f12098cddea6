// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/pictures/vision_part.h"

#include <string>
#include <utility>

#include "converter/lower/numbers.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

constexpr int64_t kMaxSide = schema::kMaxImageSide;

// What lowerings call vision_tower and projector, as releases and transformers 4 and 5 do.
constexpr std::string_view kTowers[] = {"vision_tower.vision_model.",
                                        "model.vision_tower.vision_model.",
                                        "model.vision_tower.",
                                        "vision_tower.",
                                        "model.vision_model.",
                                        "vision_model.",
                                        "model.visual.",
                                        "visual."};
constexpr std::string_view kProjectors[] = {
    "multi_modal_projector.", "model.multi_modal_projector.",
    "model.connector.",       "connector.",
    "model.visual.merger.",   "visual.merger."};

struct Family {
  std::string_view type;
  std::string_view tower, projector;  // a tensor of each
  decltype(VisionPart::lower) lower;
};
constexpr Family kFamilies[] = {
    {"gemma3", "embeddings.patch_embedding.weight", "mm_input_projection_weight",
     LowerGemma3Images},
    {"smolvlm", "embeddings.patch_embedding.weight", "modality_projection.proj.weight",
     LowerSmolVlmImages},
    {"idefics3", "embeddings.patch_embedding.weight", "modality_projection.proj.weight",
     LowerSmolVlmImages},
    {"lfm2_vl", "embeddings.patch_embedding.weight", "linear_1.weight", LowerLfm2VlImages},
    {"qwen3_5", "patch_embed.proj.weight", "linear_fc1.weight", LowerQwen35Images},
    {"mistral3", "patch_conv.weight", "linear_1.weight", LowerMistral3Images},
};

template <size_t kCount>
bool FindPart(const std::string_view (&prefixes)[kCount], std::string_view name,
              std::string_view tensor, GraphBuilder& graph) {
  for (const std::string_view prefix : prefixes) {
    if (!graph.HasStored(std::string(prefix).append(tensor))) continue;
    graph.Rename(name, prefix);
    return true;
  }
  return false;
}

}  // namespace

Result<std::optional<VisionPart>> FindVisionPart(const JsonValue& config, GraphBuilder& graph) {
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString("model_type"));
  if (!config.Find("vision_config").IsObject()) return std::optional<VisionPart>();
  for (const Family& family : kFamilies) {
    if (type != family.type) continue;
    if (FindPart(kTowers, "vision_tower.", family.tower, graph) &&
        FindPart(kProjectors, "projector.", family.projector, graph)) {
      return std::optional<VisionPart>(VisionPart{config, family.lower});
    }
  }
  return std::optional<VisionPart>();
}

Status ReadImageSides(const JsonValue& vision, int64_t image_side, int64_t patch_side,
                      int64_t merge, PicturesDescription* pictures) {
  ImagePreparation& image = pictures->image;
  GRAFT_ASSIGN_OR_RETURN(image.channels, vision.GetIntIn("num_channels", 1, 3, 3));
  GRAFT_ASSIGN_OR_RETURN(const int64_t side,
                         vision.GetIntIn("image_size", 1, kMaxSide, image_side));
  GRAFT_ASSIGN_OR_RETURN(pictures->patch, vision.GetIntIn("patch_size", 1, side, patch_side));
  pictures->merge = merge;
  pictures->side = side / pictures->patch;
  if (pictures->side % merge != 0) {
    return vision.Find("image_size")
        .Fail("makes " + std::to_string(pictures->side) +
                  " patches a side, which do not merge by " + std::to_string(merge),
              StatusCode::kUnsupported);
  }
  image.height = image.width = pictures->side * pictures->patch;
  return OkStatus();
}

ValueId ProjectPatches(const Module& module, std::string_view name, int64_t width, bool bias,
                       const PicturesDescription& pictures) {
  GraphBuilder& g = module.graph();
  WindowShape window;
  window.channels = pictures.image.channels;
  window.kernel_height = window.kernel_width = pictures.patch;
  const std::string path = module.Name(name);
  const ValueId patches = g.ImagePatches("pixel_values", window.elements());
  const TensorId weight = g.Kernels(path + ".weight", width, window);
  return g.Linear(path, patches, weight, bias ? g.Vector(path + ".bias", width) : TensorId{});
}

}  // namespace graft::converter
