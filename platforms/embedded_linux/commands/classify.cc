// SPDX-License-Identifier: Apache-2.0
// graft-run classify: the labels of a text, of two that belong together, of each token, or of an
// image.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/texts_or_images.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/thread_options.h"
#include "platforms/embedded_linux/pictures/image_rows.h"

namespace graft_run {
namespace {

std::string LabelOf(const graft_model* model, size_t index) {
  const char* label = nullptr;
  if (graft_model_get_label(model, index, &label, nullptr) != GRAFT_OK) return Format("%zu", index);
  return label;
}

// The likeliest first; equal ones in the model's order.
std::vector<size_t> Ranked(const float* scores, size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

// `items` are texts or files of images, `kind` says which.
void Print(const graft_model* model, const char* kind, const std::vector<std::string>& items,
           const float* scores, size_t labels, bool json) {
  std::vector<JsonObject> results;
  for (size_t i = 0; i < items.size(); ++i) {
    const float* row = scores + i * labels;
    if (!json && items.size() > 1) std::printf("%s\n", items[i].c_str());
    std::vector<JsonObject> ranked;
    for (const size_t label : Ranked(row, labels)) {
      const std::string name = LabelOf(model, label);
      const auto score = static_cast<double>(row[label]);
      if (json) {
        ranked.push_back(JsonObject().String("label", name).Number("score", score));
      } else {
        std::printf("%8.4f  %s\n", score, name.c_str());
      }
    }
    results.push_back(JsonObject().Objects("labels", ranked));
  }
  if (json) JsonObject().Objects(kind, results).Print();
}

// A line for each token that stands for text: its likeliest label.
int ClassifyTokens(const std::string& file, const graft_model* model, graft_session* session,
                   const std::vector<graft_text>& texts, bool json) {
  std::vector<JsonObject> results;
  for (const graft_text& text : texts) {
    const int32_t* ids = nullptr;
    const float* scores = nullptr;
    size_t tokens = 0;
    size_t labels = 0;
    graft_error error{};
    if (graft_session_classify_tokens(session, &text, &ids, &scores, &tokens, &labels, &error) !=
        GRAFT_OK) {
      return FailCall(file, error);
    }
    std::vector<JsonObject> labelled;
    for (size_t i = 0; i < tokens; ++i) {
      std::string token;
      if (!Detokenize(file, model, {ids[i]}, /*skip_special=*/true, &token)) return kExitFailure;
      if (token.empty()) continue;
      const float* row = scores + i * labels;
      const auto best = static_cast<size_t>(std::max_element(row, row + labels) - row);
      const auto score = static_cast<double>(row[best]);
      const std::string name = LabelOf(model, best);
      if (json) {
        labelled.push_back(
            JsonObject().String("token", token).String("label", name).Number("score", score));
      } else {
        std::printf("%8.4f  %-12s %s\n", score, name.c_str(), token.c_str());
      }
    }
    results.push_back(JsonObject().Objects("tokens", labelled));
  }
  if (json) JsonObject().Objects("texts", results).Print();
  return kExitOk;
}

bool LabelsTokens(const graft_model* model) {
  graft_model_info info{};
  info.struct_size = sizeof(info);
  return graft_model_get_info(model, &info, nullptr) == GRAFT_OK &&
         info.task == GRAFT_TASK_TOKEN_CLASSIFICATION;
}

}  // namespace

int RunClassify(int argc, char** argv) {
  std::string file;
  TextsOrImages asked;
  std::string pair;
  bool has_pair = false;
  ThreadOptions threads;
  bool json = false;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  asked.AddTo(&options);
  options.String("text-pair", 0, &pair, &has_pair);
  threads.AddTo(&options);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("classify: " + problem);
  }
  if (const std::string problem = asked.Problem(); !problem.empty())
    return FailUsage("classify: " + problem);
  if (has_pair && asked.texts.size() != 1)
    return FailUsage("classify: --text-pair goes with one --text");
  const ModelHandle model = OpenModel(file, threads, cache);
  if (model == nullptr) return kExitFailure;
  const SessionHandle session = OpenSession(file, model.get(), threads, 0);
  if (session == nullptr) return kExitFailure;
  const InterruptGuard guard(session.get());

  if (!asked.images.empty()) {
    std::vector<float> rows;
    size_t width = 0;
    const int code = ComputeImageRows(file, session.get(), asked.images,
                                      graft_session_classify_images, &rows, &width);
    if (code == kExitOk) Print(model.get(), "images", asked.images, rows.data(), width, json);
    return code;
  }
  std::vector<graft_text> given;
  given.reserve(asked.texts.size());
  for (const std::string& text : asked.texts) {
    given.push_back(
        {text.data(), text.size(), has_pair ? pair.data() : nullptr, has_pair ? pair.size() : 0});
  }
  if (LabelsTokens(model.get()))
    return ClassifyTokens(file, model.get(), session.get(), given, json);
  const float* scores = nullptr;
  size_t labels = 0;
  graft_error error{};
  if (graft_session_classify(session.get(), given.data(), given.size(), &scores, &labels, &error) !=
      GRAFT_OK) {
    return FailCall(file, error);
  }
  Print(model.get(), "texts", asked.texts, scores, labels, json);
  return kExitOk;
}

}  // namespace graft_run
