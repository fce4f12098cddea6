// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_task.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::schema {
namespace {

constexpr uint32_t kMaxLabels = 1 << 20;
constexpr uint32_t kMaxLabelBytes = 4096;

class TaskChecker {
 public:
  TaskChecker(const fb::Model& model, const GraphFacts& facts)
      : task_(*model.task()), graph_(*model.graph()), facts_(facts) {}

  Status Check() const {
    switch (task_.kind()) {
      case fb::TaskKind::Tensors:
        break;
      case fb::TaskKind::TextGeneration:
        GRAFT_RETURN_IF_ERROR(CheckGeneration());
        break;
      case fb::TaskKind::Embedding:
      case fb::TaskKind::Classification:
        if (!HasRowsOf(facts_.text_ends) && !HasRowsOf(facts_.output_rows) && !HasOneRow()) {
          return Error(StatusCode::kCorrupt,
                       "the task %s needs a first output of f32 with one row for each text, or one "
                       "row",
                       fb::EnumNameTaskKind(task_.kind()));
        }
        break;
      case fb::TaskKind::TokenClassification:
        if (!HasRowsOf(facts_.token_ids)) {
          return Error(StatusCode::kCorrupt,
                       "the task TokenClassification needs a first output of f32 with one row for "
                       "each token");
        }
        break;
      default:
        return Error(StatusCode::kUnsupported, "task %u, which this build does not know",
                     static_cast<unsigned>(task_.kind()));
    }
    if (task_.prompt() != nullptr && task_.prompt()->size() > kMaxPromptBytes) {
      return Error(StatusCode::kCorrupt, "the task's prompt has %u bytes; at most %u are allowed",
                   task_.prompt()->size(), kMaxPromptBytes);
    }
    GRAFT_RETURN_IF_ERROR(CheckEndTokens());
    GRAFT_RETURN_IF_ERROR(CheckPadToken());
    GRAFT_RETURN_IF_ERROR(CheckLabels());
    return task_.image() == nullptr ? OkStatus() : CheckImage(*task_.image());
  }

 private:
  const fb::Value& output() const { return *graph_.values()->Get(graph_.outputs()->Get(0)); }

  bool IsMatrix() const {
    const auto& shape = *output().shape();
    return output().type() == fb::ElementType::Float32 && shape.size() == 2 &&
           shape.Get(1)->symbol() < 0;
  }
  bool HasRowsOf(const fb::Value* role) const {
    return IsMatrix() && role != nullptr && output().shape()->Get(0)->symbol() >= 0 &&
           output().shape()->Get(0)->symbol() == role->shape()->Get(0)->symbol();
  }
  bool HasOneRow() const {
    const fb::Dimension& rows = *output().shape()->Get(0);
    return IsMatrix() && rows.symbol() < 0 && rows.size() == 1;
  }

  Status CheckGeneration() const {
    // Whoever reads the logits of a row reads as many as there are ids.
    if (facts_.vocabulary != 0 && HasRowsOf(facts_.output_rows) &&
        static_cast<uint64_t>(output().shape()->Get(1)->size()) >= facts_.vocabulary) {
      return OkStatus();
    }
    return Error(StatusCode::kCorrupt,
                 "a text-generation graph must look up token ids and give f32 logits of [output "
                 "rows, vocabulary] first");
  }

  Status CheckEndTokens() const {
    if (task_.end_tokens() == nullptr || facts_.vocabulary == 0) return OkStatus();
    for (const uint32_t token : *task_.end_tokens()) {
      if (token >= facts_.vocabulary) {
        return Error(StatusCode::kCorrupt, "end token %u is outside the vocabulary of %" PRIu64,
                     token, facts_.vocabulary);
      }
    }
    return OkStatus();
  }

  Status CheckPadToken() const {
    const int32_t token = task_.pad_token();
    if (token == -1) return OkStatus();
    if (task_.kind() != fb::TaskKind::Classification || !HasRowsOf(facts_.output_rows) ||
        token < 0 || static_cast<uint64_t>(token) >= facts_.vocabulary) {
      return Error(StatusCode::kCorrupt,
                   "pad token %" PRId32
                   " needs the scores of output rows, and the vocabulary has "
                   "%" PRIu64,
                   token, facts_.vocabulary);
    }
    return OkStatus();
  }

  Status CheckLabels() const {
    if (task_.scores() > fb::ScoreKind::MAX) {
      return Error(StatusCode::kUnsupported, "scores of kind %u, which this build does not know",
                   static_cast<unsigned>(task_.scores()));
    }
    const auto* labels = task_.labels();
    if (labels == nullptr || labels->size() == 0) return OkStatus();
    if (labels->size() > kMaxLabels || !IsMatrix() ||
        output().shape()->Get(1)->size() != labels->size()) {
      return Error(
          StatusCode::kCorrupt,
          "the task has %u labels (at most %u are allowed), the first output another width",
          labels->size(), kMaxLabels);
    }
    for (uint32_t i = 0; i < labels->size(); ++i) {
      if (labels->Get(i)->size() <= kMaxLabelBytes) continue;
      return Error(StatusCode::kCorrupt, "label %u has %u bytes; at most %u are allowed", i,
                   labels->Get(i)->size(), kMaxLabelBytes);
    }
    return OkStatus();
  }

  // [channels, height, width], all fixed.
  bool IsImageInput(const fb::GraphInput& input, const fb::ImageInput& image) const {
    const fb::Value& value = *graph_.values()->Get(input.value());
    if (input.role() != fb::InputRole::Tensor || value.type() != fb::ElementType::Float32 ||
        value.shape()->size() != 3) {
      return false;
    }
    const int64_t expected[] = {image.channels(), image.height(), image.width()};
    for (uint32_t i = 0; i < 3; ++i) {
      const fb::Dimension& dimension = *value.shape()->Get(i);
      if (dimension.symbol() >= 0 || dimension.size() != expected[i]) return false;
    }
    return true;
  }

  Status CheckImage(const fb::ImageInput& image) const {
    GRAFT_RETURN_IF_ERROR(CheckImageSettings(image));
    if (graph_.inputs()->size() == 1 && IsImageInput(*graph_.inputs()->Get(0), image))
      return OkStatus();
    return Error(StatusCode::kCorrupt,
                 "the image input is %u x %u of %u channels; the graph's only input must be f32 "
                 "[channels, height, width]",
                 image.height(), image.width(), image.channels());
  }

  const fb::Task& task_;
  const fb::Graph& graph_;
  const GraphFacts& facts_;
};

bool AllBelow(const flatbuffers::Vector<uint32_t>& numbers, uint64_t limit) {
  return std::all_of(numbers.begin(), numbers.end(),
                     [limit](uint32_t number) { return number < limit; });
}

// Absent, or `count` finite numbers.
bool AreLogits(const flatbuffers::Vector<float>* numbers, uint32_t count) {
  if (numbers == nullptr || numbers->size() == 0) return true;
  return numbers->size() == count &&
         std::all_of(numbers->begin(), numbers->end(), [](float x) { return std::isfinite(x); });
}

bool IsSoundProbe(const fb::Probe& probe, const fb::Model& model, const GraphFacts& facts) {
  const uint32_t ids = probe.ids()->size();
  const uint32_t tokens = probe.tokens() == nullptr ? 0 : probe.tokens()->size();
  // Ids of text may lie beyond the table where nothing is computed with them.
  const uint64_t limit = probe.answered_ids() == 0 ? uint64_t{1} << 31 : facts.vocabulary;
  if ((probe.text() != nullptr && probe.text()->size() > kMaxProbeBytes) || ids == 0 ||
      ids > kMaxProbeIds || !AllBelow(*probe.ids(), limit)) {
    return false;
  }
  const bool answers = probe.answered_ids() != 0;
  const bool can_answer =
      model.task()->kind() == fb::TaskKind::TextGeneration && !facts.has_source() &&
      probe.answered_ids() <= ids && probe.answered_ids() <= kMaxAnsweredIds && tokens > 0 &&
      tokens <= kMaxProbeTokens && AllBelow(*probe.tokens(), limit) && probe.logits() != nullptr &&
      probe.logits()->size() == tokens && probe.adapted_logits() != nullptr &&
      probe.adapted_logits()->size() == tokens;
  return (answers ? can_answer : tokens == 0) && AreLogits(probe.logits(), tokens) &&
         AreLogits(probe.adapted_logits(), tokens) && AreLogits(probe.base_logits(), tokens) &&
         AreLogits(probe.stored_base_logits(), tokens);
}

Status CheckNormalization(const fb::ImageInput& image) {
  for (const auto* numbers : {image.mean(), image.deviation()}) {
    if (numbers == nullptr || numbers->size() == 0) continue;
    bool sound = numbers->size() == image.channels();
    for (const float number : *numbers) {
      sound = sound && std::isfinite(number) && (numbers == image.mean() || number > 0.0f);
    }
    if (sound) continue;
    return Error(StatusCode::kCorrupt,
                 "the image input's mean and deviation must have %u finite numbers, and deviations "
                 "above 0",
                 image.channels());
  }
  return OkStatus();
}

}  // namespace

Status CheckImageSettings(const fb::ImageInput& image) {
  if ((image.channels() != 1 && image.channels() != 3) || image.height() < 1 ||
      image.height() > kMaxImageSide || image.width() < 1 || image.width() > kMaxImageSide ||
      image.resize_height() > kMaxImageSide || image.resize_width() > kMaxImageSide ||
      (image.resize_height() == 0 && image.resize_width() != 0)) {
    return Error(StatusCode::kCorrupt,
                 "the image input is %u x %u of %u channels, resized to %u x %u; it must have 1 or "
                 "3 channels and at most %u pixels a side",
                 image.height(), image.width(), image.channels(), image.resize_height(),
                 image.resize_width(), kMaxImageSide);
  }
  if (image.filter() > fb::ImageFilter::MAX) {
    return Error(StatusCode::kUnsupported, "image filter %u, which this build does not know",
                 static_cast<unsigned>(image.filter()));
  }
  if (!std::isfinite(image.rescale()))
    return Error(StatusCode::kCorrupt, "the image input's rescale is not finite");
  return CheckNormalization(image);
}

Status CheckTask(const fb::Model& model, const GraphFacts& facts) {
  return TaskChecker(model, facts).Check();
}

Status CheckProbes(const fb::Model& model, const GraphFacts& facts) {
  if (model.probes() == nullptr) return OkStatus();
  const auto& probes = *model.probes()->probes();
  const float noise = model.probes()->noise();
  if (probes.size() > kMaxProbes || !std::isfinite(noise) || noise < 0.0f) {
    return Error(StatusCode::kCorrupt,
                 "the file has %u probes (at most %u are allowed), and a noise that must be a "
                 "positive number",
                 probes.size(), kMaxProbes);
  }
  for (uint32_t i = 0; i < probes.size(); ++i) {
    if (IsSoundProbe(*probes.Get(i), model, facts)) continue;
    return Error(StatusCode::kCorrupt,
                 "probe %u is malformed: ids and tokens must be below the vocabulary of %" PRIu64
                 " and there must be as many finite numbers as tokens",
                 i, facts.vocabulary);
  }
  return OkStatus();
}

}  // namespace graft::schema
