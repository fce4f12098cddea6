// SPDX-License-Identifier: Apache-2.0
// graft-run classify: the labels of a text, or of two that belong together.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "platforms/embedded_linux/cache_options.h"
#include "platforms/embedded_linux/commands.h"
#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/model_handle.h"
#include "platforms/embedded_linux/options.h"
#include "platforms/embedded_linux/thread_options.h"

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

void Print(const graft_model* model, const std::vector<std::string>& texts, const float* scores,
           size_t labels, bool json) {
  std::vector<JsonObject> results;
  for (size_t i = 0; i < texts.size(); ++i) {
    const float* row = scores + i * labels;
    if (!json && texts.size() > 1) std::printf("%s\n", texts[i].c_str());
    std::vector<JsonObject> ranked;
    for (const size_t label : Ranked(row, labels)) {
      const std::string name = LabelOf(model, label);
      const auto score = static_cast<double>(row[label]);
      if (json) {
        ranked.push_back(JsonObject().Text("label", name).Number("score", score));
      } else {
        std::printf("%8.4f  %s\n", score, name.c_str());
      }
    }
    results.push_back(JsonObject().Objects("labels", ranked));
  }
  if (json) JsonObject().Objects("texts", results).Print();
}

}  // namespace

int RunClassify(int argc, char** argv) {
  std::string file;
  std::vector<std::string> texts;
  std::string pair;
  bool has_pair = false;
  ThreadOptions threads;
  bool json = false;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  options.TextList("text", &texts);
  options.Text("text-pair", 0, &pair, &has_pair);
  threads.AddTo(&options);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("classify: " + problem);
  }
  if (texts.empty()) return FailUsage("classify: --text is missing");
  if (has_pair && texts.size() != 1) return FailUsage("classify: --text-pair goes with one --text");
  const ModelHandle model = OpenModel(file, threads, cache);
  if (model == nullptr) return kExitFailure;
  const SessionHandle session = OpenSession(file, model.get(), threads, 0);
  if (session == nullptr) return kExitFailure;
  const InterruptGuard guard(session.get());

  std::vector<graft_text> given;
  given.reserve(texts.size());
  for (const std::string& text : texts) {
    given.push_back(
        {text.data(), text.size(), has_pair ? pair.data() : nullptr, has_pair ? pair.size() : 0});
  }
  const float* scores = nullptr;
  size_t labels = 0;
  graft_error error{};
  if (graft_classify(session.get(), given.data(), given.size(), &scores, &labels, &error) !=
      GRAFT_OK) {
    return FailCall(file, error);
  }
  Print(model.get(), texts, scores, labels, json);
  return kExitOk;
}

}  // namespace graft_run
