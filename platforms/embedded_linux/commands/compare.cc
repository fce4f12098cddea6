// SPDX-License-Identifier: Apache-2.0
// graft-run compare: what models lose against a reference, such as their own weights in float32.
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/compare/figures.h"
#include "platforms/embedded_linux/compare/opened_model.h"
#include "platforms/embedded_linux/compare/plot.h"
#include "platforms/embedded_linux/compare/report.h"
#include "platforms/embedded_linux/compare/row_score.h"
#include "platforms/embedded_linux/compare/whole_file.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/output_check.h"
#include "platforms/embedded_linux/options/sampling_options.h"

namespace graft_run {
namespace {

constexpr uint64_t kDefaultWindow = 256;
constexpr size_t kMaxPrompts = 10'000;

std::string ReadSettings(int argc, char** argv, CompareSettings* settings) {
  bool has_reference = false, has_text_file = false;
  std::string kv = "auto";
  Options options;
  settings->cache.AddTo(&options);
  options.String("reference", 'r', &settings->reference, &has_reference);
  options.String("text-file", 'f', &settings->text_file, &has_text_file);
  options.String("prompts", 0, &settings->prompt_file, nullptr);
  options.String("html", 0, &settings->page, nullptr);
  options.String("svg", 0, &settings->plot, nullptr);
  options.Integer("context", 'c', &settings->window, 2, kMaxContextTokens);
  options.Integer("max-tokens", 'n', &settings->max_tokens, 1, kMaxContextTokens);
  options.Integer("windows", 0, &settings->max_windows, 1, uint64_t{1} << 32);
  options.Float("max-kl", &settings->max_kl, 0, 1e6);
  options.Flag("gate", &settings->gate);
  options.Flag("raw-prompts", &settings->raw_prompts);
  settings->threads.AddTo(&options);
  options.String("kv", 0, &kv, nullptr);
  options.Flag("json", &settings->json);
  if (std::string problem = options.Parse(argc, argv, &settings->files); !problem.empty()) {
    return problem;
  }
  if (!has_reference) return "--reference is missing";
  if (!has_text_file) return "--text-file is missing";
  if (settings->gate && settings->prompt_file.empty()) return "--gate needs --prompts";
  for (const std::string& output : {settings->page, settings->plot}) {
    std::string problem =
        OutputProblem(output, {settings->reference, settings->text_file, settings->prompt_file});
    for (const std::string& file : settings->files)
      if (problem.empty()) problem = OutputProblem(output, {file});
    if (!problem.empty()) return problem;
  }
  return ParseKvFormat(kv, &settings->kv_format);
}

/// The prompts of a file, one a line; empty lines do not count.
bool ReadPrompts(const std::string& file, std::vector<std::string>* prompts) {
  std::string text;
  if (!ReadTextFile(file, &text)) return false;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) prompts->push_back(std::move(line));
    at = end + 1;
  }
  if (!prompts->empty() && prompts->size() <= kMaxPrompts) return true;
  Fail(file, Format("holds %zu prompts; 1 to %zu can be compared", prompts->size(), kMaxPrompts));
  return false;
}

class Comparer {
 public:
  explicit Comparer(const CompareSettings& settings) : settings_(settings) {}

  /// Each returns an exit code; a failure has been printed.
  int OpenAll();
  int CompareText();
  int ComparePrompts();
  const Comparison& result() const { return result_; }

 private:
  int ScoreWindow(const int32_t* ids, size_t count);
  int Answers(OpenedModel* model, const std::vector<std::string>& prompts,
              std::vector<Answer>* answers);
  void ShowProgress(const char* what, uint64_t done, uint64_t all) const;

  const CompareSettings& settings_;
  OpenedModel reference_;
  std::vector<std::unique_ptr<OpenedModel>> models_;
  std::vector<TextScores> scores_;
  Prediction prediction_;
  std::vector<int32_t> ids_;
  Comparison result_;
};

void Comparer::ShowProgress(const char* what, uint64_t done, uint64_t all) const {
  if (settings_.json || isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r%s %" PRIu64 " of %" PRIu64 "%s", what, done, all,
               done == all ? "\n" : "");
}

int Comparer::OpenAll() {
  std::string text;
  if (!ReadTextFile(settings_.text_file, &text)) return kExitFailure;
  if (!reference_.Open(settings_, settings_.reference, true)) return kExitFailure;
  if (!Tokenize(settings_.reference, reference_.model(), text, false, &ids_)) return kExitFailure;
  if (ids_.size() < 2) {
    return Fail(settings_.text_file, Format("has %zu tokens; a comparison needs 2", ids_.size()));
  }
  uint64_t context = reference_.info().context_tokens;
  for (const std::string& file : settings_.files) {
    models_.push_back(std::make_unique<OpenedModel>());
    OpenedModel& model = *models_.back();
    if (!model.Open(settings_, file, false)) return kExitFailure;
    std::vector<int32_t> ids;
    if (!Tokenize(file, model.model(), text, false, &ids)) return kExitFailure;
    if (ids != ids_) {
      const auto [a, b] = std::mismatch(ids.begin(), ids.end(), ids_.begin(), ids_.end());
      return Fail(file, Format("its tokenizer is another than the reference's: the text's tokens "
                               "differ from number %td on",
                               a - ids.begin()));
    }
    const uint64_t own = model.info().context_tokens;
    if (own != 0) context = context == 0 ? own : std::min(context, own);
  }
  uint64_t window = settings_.window;
  if (window == 0) window = context == 0 ? kDefaultWindow : std::min(kDefaultWindow, context);
  if (context != 0 && window > context) {
    return Fail(settings_.reference,
                Format("windows of %" PRIu64 " tokens exceed the models' context of %" PRIu64,
                       window, context));
  }
  result_.reference = settings_.reference;
  result_.reference_bytes = reference_.file_bytes();
  result_.text_file = settings_.text_file;
  result_.window = std::min<uint64_t>(window, ids_.size());
  return kExitOk;
}

int Comparer::ScoreWindow(const int32_t* ids, size_t count) {
  const float* logits = nullptr;
  size_t vocabulary = 0;
  if (const int code = reference_.Forward(ids, count, &logits, &vocabulary); code != kExitOk) {
    return code;
  }
  for (size_t i = 1; i < count; ++i) {
    if (static_cast<size_t>(ids[i]) >= vocabulary) {
      return Fail(settings_.reference,
                  Format("token %d has no logit among %zu", ids[i], vocabulary));
    }
  }
  for (size_t k = 0; k < models_.size(); ++k) {
    const float* own_logits = nullptr;
    size_t own_vocabulary = 0;
    if (const int code = models_[k]->Forward(ids, count, &own_logits, &own_vocabulary);
        code != kExitOk) {
      return code;
    }
    if (own_vocabulary != vocabulary) {
      return Fail(models_[k]->file(),
                  Format("has %zu logits, the reference has %zu", own_vocabulary, vocabulary));
    }
    for (size_t i = 0; i + 1 < count; ++i) {
      const auto target = static_cast<size_t>(ids[i + 1]);
      Predict(logits + i * vocabulary, vocabulary, &prediction_);
      scores_[k].Add(i + 1, ScoreRow(prediction_, own_logits + i * vocabulary, target),
                     -prediction_.log_probabilities[target]);
    }
  }
  return kExitOk;
}

int Comparer::CompareText() {
  scores_.resize(models_.size());
  if (!reference_.StartSession(settings_, result_.window)) return kExitFailure;
  for (const auto& model : models_) {
    if (!model->StartSession(settings_, result_.window)) return kExitFailure;
  }
  uint64_t windows = ids_.size() / result_.window + (ids_.size() % result_.window > 1 ? 1 : 0);
  if (settings_.max_windows != 0) windows = std::min(windows, settings_.max_windows);
  for (uint64_t i = 0; i < windows; ++i) {
    const size_t at = i * result_.window;
    const size_t count = std::min<size_t>(result_.window, ids_.size() - at);
    if (const int code = ScoreWindow(ids_.data() + at, count); code != kExitOk) return code;
    ShowProgress("window", i + 1, windows);
  }
  result_.windows = windows;
  for (size_t k = 0; k < models_.size(); ++k) {
    result_.files.push_back(
        {models_[k]->file(), models_[k]->file_bytes(), scores_[k].Summarize(), {}});
  }
  return kExitOk;
}

int Comparer::Answers(OpenedModel* model, const std::vector<std::string>& prompts,
                      std::vector<Answer>* answers) {
  std::vector<std::string> texts(prompts.size());
  std::vector<std::vector<int32_t>> ids(prompts.size());
  uint64_t longest = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!model->MakePrompt(settings_, prompts[i], &texts[i], &ids[i])) return kExitFailure;
    longest = std::max<uint64_t>(longest, ids[i].size());
  }
  uint64_t context = longest + settings_.max_tokens;
  if (model->info().context_tokens != 0) {
    context = std::min<uint64_t>(context, model->info().context_tokens);
  }
  if (longest >= context) {
    return Fail(model->file(), Format("a prompt has %" PRIu64 " tokens, the context holds %" PRIu64,
                                      longest, context));
  }
  if (!model->StartSession(settings_, context)) return kExitFailure;
  answers->resize(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int code = model->Write(texts[i], ids[i], settings_.max_tokens, &(*answers)[i]);
    if (code != kExitOk) return code;
    ShowProgress("prompt", i + 1, prompts.size());
  }
  return kExitOk;
}

int Comparer::ComparePrompts() {
  if (settings_.prompt_file.empty()) return kExitOk;
  std::vector<std::string> prompts;
  if (!ReadPrompts(settings_.prompt_file, &prompts)) return kExitFailure;
  std::vector<Answer> expected;
  if (const int code = Answers(&reference_, prompts, &expected); code != kExitOk) return code;
  for (size_t k = 0; k < models_.size(); ++k) {
    std::vector<Answer> found;
    if (const int code = Answers(models_[k].get(), prompts, &found); code != kExitOk) return code;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const std::vector<int32_t>& a = expected[i].ids;
      const std::vector<int32_t>& b = found[i].ids;
      const auto equal = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
      const bool is_equal = a == b;
      result_.files[k].prompts.push_back(
          {prompts[i], expected[i], std::move(found[i]), static_cast<uint64_t>(equal), is_equal});
    }
  }
  return kExitOk;
}

/// Whether all files keep what --max-kl and --gate ask for; what does not has been printed.
bool KeepsLimits(const CompareSettings& settings, const Comparison& comparison) {
  bool keeps = true;
  for (const FileFigures& file : comparison.files) {
    if (settings.max_kl > 0 && file.text.mean_kl > settings.max_kl) {
      Fail(file.file,
           Format("the mean KL is %.5f, --max-kl allows %.5f", file.text.mean_kl, settings.max_kl));
      keeps = false;
    }
    if (settings.gate && !GateOf(file.prompts).passes()) {
      Fail(file.file,
           "fewer of its answers end, close their thinking or are JSON than the "
           "reference's");
      keeps = false;
    }
  }
  return keeps;
}

}  // namespace

int RunCompare(int argc, char** argv) {
  CompareSettings settings;
  if (std::string problem = ReadSettings(argc, argv, &settings); !problem.empty()) {
    return FailUsage("compare: " + problem);
  }
  Comparer comparer(settings);
  if (const int code = comparer.OpenAll(); code != kExitOk) return code;
  if (const int code = comparer.CompareText(); code != kExitOk) return code;
  if (const int code = comparer.ComparePrompts(); code != kExitOk) return code;
  const Comparison& comparison = comparer.result();
  if (settings.json) {
    ShowComparisonAsJson(comparison);
  } else {
    ShowComparison(comparison);
  }
  if (!settings.page.empty() && !WriteWholeFile(settings.page, PageOf(comparison)))
    return kExitFailure;
  if (!settings.plot.empty() && !WriteWholeFile(settings.plot, PlotOf(comparison)))
    return kExitFailure;
  return KeepsLimits(settings, comparison) ? kExitOk : kExitFailure;
}

}  // namespace graft_run
