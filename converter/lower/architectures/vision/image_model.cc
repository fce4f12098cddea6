// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/vision/image_model.h"

#include <algorithm>

#include "converter/lower/encoder.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

constexpr int64_t kMaxSide = schema::kMaxImageSide;

}  // namespace

Result<ImageSize> ReadSides(const JsonValue& config, const char* key, int64_t fallback) {
  const JsonValue member = config.Find(key);
  if (!member.IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t side, config.GetIntIn(key, 1, kMaxSide, fallback));
    return ImageSize{side, side};
  }
  if (member.size() != 2) return member.Fail("must be a number or a list of height and width");
  GRAFT_ASSIGN_OR_RETURN(const int64_t height, member.at(0).AsInt());
  GRAFT_ASSIGN_OR_RETURN(const int64_t width, member.at(1).AsInt());
  if (std::min(height, width) < 1 || std::max(height, width) > kMaxSide)
    return member.Fail("must be 1 to " + std::to_string(kMaxSide) + " a side");
  return ImageSize{height, width};
}

Result<ImageSize> ReadImageSize(const JsonValue& config, const TaskDescription& task,
                                int64_t fallback) {
  if (task.prepared_height > 0) return ImageSize{task.prepared_height, task.prepared_width};
  return ReadSides(config, "image_size", fallback);
}

Result<std::vector<int64_t>> ReadNumbers(const JsonValue& config, const char* key, int64_t most,
                                         const std::vector<int64_t>& fallback, size_t count) {
  std::vector<int64_t> numbers = fallback;
  const JsonValue list = config.Find(key);
  if (config.Has(key)) {
    if (!list.IsArray()) return list.Fail("must be a list of numbers");
    numbers.clear();
    for (size_t i = 0; i < list.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t number, list.at(i).AsInt());
      if (number < 1 || number > most)
        return list.at(i).Fail("must be 1 to " + std::to_string(most));
      numbers.push_back(number);
    }
  }
  if (numbers.empty() || (count != 0 && numbers.size() != count)) {
    return list.Fail("has " + std::to_string(numbers.size()) + " numbers for " +
                     std::to_string(count) + " stages");
  }
  return numbers;
}

void DescribeImage(int64_t channels, const ImageSize& size, TaskDescription* task) {
  task->takes_text = false;
  if (channels != 1 && channels != 3) return;
  ImagePreparation image;
  image.channels = channels;
  image.height = size.height;
  image.width = size.width;
  task->image = image;
}

std::string FamilyPath(const GraphBuilder& graph, const std::string& family,
                       const std::string& tensor) {
  return graph.Has(family + "." + tensor) ? family : "";
}

Status CheckImageHead(const JsonValue& config, const std::vector<std::string>& others) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.GetStrings("architectures"));
  const std::string name = names.empty() ? "Model" : names[0];
  std::vector<std::string> known = others;
  known.insert(known.end(), {"Model", "ForImageClassification"});
  std::string list;
  for (const std::string& ending : known) {
    if (name.ends_with(ending)) return OkStatus();
    list.append(list.empty() ? "" : ", ").append(ending);
  }
  return config.Find("architectures")
      .Fail("is " + name + "; of this family this version converts classes that end in " + list,
            StatusCode::kUnsupported);
}

Result<bool> ClassifyImage(const JsonValue& config, ValueId features, GraphBuilder& graph,
                           TaskDescription* task) {
  const int64_t labels = graph.RowsOf("classifier.weight");
  if (labels == 0) return false;
  task->task = Task::kClassification;
  GRAFT_RETURN_IF_ERROR(DescribeLabels(config, labels, task));
  const TensorId weight = graph.Matrix("classifier.weight", labels, graph.Width(features));
  graph.Output(graph.Linear("logits", features, weight, graph.Vector("classifier.bias", labels)));
  return true;
}

ValueId MeanOfPixels(GraphBuilder& graph, const std::string& name, const PixelMap& x) {
  return graph.PoolRows(name, x.value, ValueId{}, schema::fb::PoolKind::Mean);
}

Status OutputPixels(const JsonValue& config, const PixelMap& x, ValueId pooled, GraphBuilder& graph,
                    TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const bool classifies, ClassifyImage(config, pooled, graph, task));
  if (classifies) return OkStatus();
  task->task = Task::kEmbedding;
  graph.Output(pooled);
  graph.Output(graph.Planes("last_hidden_state", x.value, x.size));
  return OkStatus();
}

}  // namespace graft::converter
