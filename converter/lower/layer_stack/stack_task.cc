// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/layer_stack/stack_task.h"

#include <cmath>
#include <string>
#include <utility>

#include "converter/lower/layer_stack/members.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

constexpr Word<Task> kTasks[] = {{"tensors", Task::kTensors},
                                 {"classification", Task::kClassification},
                                 {"embedding", Task::kEmbedding}};
constexpr Word<ScoreKind> kScores[] = {
    {"softmax", ScoreKind::kSoftmax}, {"sigmoid", ScoreKind::kSigmoid}, {"raw", ScoreKind::kRaw}};
using Filter = ImagePreparation::Filter;
constexpr Word<Filter> kFilters[] = {
    {"bilinear", Filter::kBilinear}, {"bicubic", Filter::kBicubic}, {"nearest", Filter::kNearest}};

// One number for each channel, or none.
Result<std::vector<float>> ReadChannels(const JsonValue& image, std::string_view key,
                                        int64_t channels, bool above_zero) {
  std::vector<float> numbers;
  if (!image.Has(key)) return numbers;
  GRAFT_ASSIGN_OR_RETURN(const JsonValue list, image.Get(key, JsonKind::kArray));
  if (static_cast<int64_t>(list.size()) != channels) {
    return list.Fail("has " + std::to_string(list.size()) + " numbers for " +
                     std::to_string(channels) + " channels");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const double number, list.at(i).AsDouble());
    numbers.push_back(static_cast<float>(number));
    if (std::isfinite(numbers.back()) && (!above_zero || numbers.back() > 0.0f)) continue;
    return list.at(i).Fail(above_zero ? "must be finite and above 0" : "must be finite");
  }
  return numbers;
}

Status ReadResize(const JsonValue& image, ImagePreparation* result) {
  if (!image.Has("resize")) return OkStatus();
  const JsonValue resize = image.Find("resize");
  if (!resize.IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(result->resize_height,
                           image.GetIntIn("resize", 1, schema::kMaxImageSide));
    return OkStatus();
  }
  if (resize.size() != 2) {
    return resize.Fail("must be the shorter side, or [height, width]");
  }
  GRAFT_ASSIGN_OR_RETURN(result->resize_height, resize.at(0).AsInt());
  GRAFT_ASSIGN_OR_RETURN(result->resize_width, resize.at(1).AsInt());
  for (const int64_t side : {result->resize_height, result->resize_width}) {
    if (side >= 1 && side <= schema::kMaxImageSide) continue;
    return resize.Fail("must be 1 to " + std::to_string(schema::kMaxImageSide) + " a side");
  }
  return OkStatus();
}

Result<ImagePreparation> ReadImage(const JsonValue& image, const LayerStack& stack) {
  if (!image.IsObject()) return image.Fail("must be an object");
  GRAFT_RETURN_IF_ERROR(CheckMembers(image, {"resize", "filter", "rescale", "mean", "std"}));
  if (stack.input_shape.size() != 3 || (stack.input_shape[0] != 1 && stack.input_shape[0] != 3)) {
    return image.Fail("needs an input of shape [1, height, width] or [3, height, width]");
  }
  ImagePreparation result;
  result.channels = stack.input_shape[0];
  result.height = stack.input_shape[1];
  result.width = stack.input_shape[2];
  GRAFT_RETURN_IF_ERROR(ReadResize(image, &result));
  GRAFT_ASSIGN_OR_RETURN(result.filter, ReadWord(image, "filter", kFilters));
  GRAFT_ASSIGN_OR_RETURN(result.rescale, image.GetDouble("rescale", 1.0 / 255.0));
  if (!std::isfinite(static_cast<float>(result.rescale)))
    return image.Find("rescale").Fail("must be finite");
  GRAFT_ASSIGN_OR_RETURN(result.mean, ReadChannels(image, "mean", result.channels, false));
  GRAFT_ASSIGN_OR_RETURN(result.deviation, ReadChannels(image, "std", result.channels, true));
  return result;
}

}  // namespace

Status ReadStackTask(const JsonValue& description, LayerStack* stack) {
  GRAFT_ASSIGN_OR_RETURN(stack->task, ReadWord(description, "task", kTasks));
  GRAFT_ASSIGN_OR_RETURN(stack->scores, ReadWord(description, "scores", kScores));
  GRAFT_ASSIGN_OR_RETURN(stack->labels, description.GetStrings("labels"));
  for (const char* key : {"labels", "scores"}) {
    if (stack->task == Task::kClassification || !description.Has(key)) continue;
    return description.Find(key).Fail("is of no use without \"task\": \"classification\"");
  }
  if (stack->task != Task::kTensors && stack->input_shape.size() != 3) {
    return description.Find("task").Fail("needs an input of shape [channels, height, width]");
  }
  if (description.Has("image")) {
    GRAFT_ASSIGN_OR_RETURN(stack->image, ReadImage(description.Find("image"), *stack));
  }
  return OkStatus();
}

}  // namespace graft::converter
