// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/report.h"

#include <cinttypes>
#include <cstdio>
#include <vector>

#include "platforms/embedded_linux/compare/plot.h"
#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

double Percent(double share) { return 100 * share; }

double PerplexityChange(const TextFigures& text) {
  return Percent(text.perplexity / text.reference_perplexity - 1);
}

JsonObject RangeAsJson(const RangeFigures& range) {
  JsonObject json;
  json.Integer("begin", range.begin)
      .Integer("end", range.end)
      .Integer("tokens", range.tokens)
      .Number("mean_kl", range.mean_kl)
      .Number("same_top", range.same_top)
      .Number("perplexity", range.perplexity)
      .Number("reference_perplexity", range.reference_perplexity);
  return json;
}

JsonObject AnswerAsJson(const Answer& answer) {
  JsonObject json;
  json.String("text", answer.text)
      .Ids("ids", answer.ids)
      .Bool("ended", answer.behaviour.ended)
      .Bool("opened_thinking", answer.behaviour.opened_thinking)
      .Bool("closed_thinking", answer.behaviour.closed_thinking)
      .Bool("is_json", answer.behaviour.is_json);
  return json;
}

JsonObject GateAsJson(const GateFigures& gate) {
  JsonObject json;
  json.Bool("passes", gate.passes())
      .Integer("ended", gate.ended)
      .Integer("reference_ended", gate.reference_ended)
      .Integer("closed_thinking", gate.closed_thinking)
      .Integer("reference_closed_thinking", gate.reference_closed_thinking)
      .Integer("json", gate.json)
      .Integer("reference_json", gate.reference_json)
      .Integer("equal", gate.equal);
  return json;
}

JsonObject FileAsJson(const FileFigures& file) {
  const TextFigures& text = file.text;
  std::vector<JsonObject> ranges;
  for (const RangeFigures& range : text.ranges) ranges.push_back(RangeAsJson(range));
  JsonObject json;
  json.String("file", file.file)
      .Integer("file_bytes", file.file_bytes)
      .Integer("predicted_tokens", text.tokens)
      .Number("mean_kl", text.mean_kl)
      .Number("kl_standard_error", text.kl_standard_error)
      .Number("median_kl", text.median_kl)
      .Number("kl_99", text.kl_99)
      .Number("max_kl", text.max_kl)
      .Number("same_top", text.same_top)
      .Number("perplexity", text.perplexity)
      .Number("reference_perplexity", text.reference_perplexity)
      .Objects("positions", ranges);
  if (file.prompts.empty()) return json;
  std::vector<JsonObject> prompts;
  for (const PromptFigures& figures : file.prompts) {
    prompts.emplace_back()
        .String("prompt", figures.prompt)
        .Bool("equal", figures.is_equal)
        .Integer("equal_tokens", figures.equal_tokens)
        .Object("reference", AnswerAsJson(figures.reference))
        .Object("answer", AnswerAsJson(figures.answer));
  }
  json.Object("gate", GateAsJson(GateOf(file.prompts))).Objects("prompts", prompts);
  return json;
}

std::string GateLine(const GateFigures& gate, size_t prompts) {
  return Format(
      "%s: of the reference's answers %" PRIu64 " of %" PRIu64 " end, %" PRIu64 " of %" PRIu64
      " close their thinking, %" PRIu64 " of %" PRIu64 " are JSON; %" PRIu64 " of %zu are the same",
      gate.passes() ? "passes" : "FAILS", gate.ended, gate.reference_ended, gate.closed_thinking,
      gate.reference_closed_thinking, gate.json, gate.reference_json, gate.equal, prompts);
}

/// What a person wants to know of one answer.
std::string Describe(const Answer& answer) {
  std::string text = answer.behaviour.ended ? "ended" : "did not end";
  if (answer.behaviour.opened_thinking) {
    text += answer.behaviour.closed_thinking ? ", thinking closed" : ", thinking left open";
  }
  return answer.behaviour.is_json ? text + ", JSON" : text;
}

void ShowPrompts(const FileFigures& file) {
  std::printf("  answers: %s\n", GateLine(GateOf(file.prompts), file.prompts.size()).c_str());
  for (const PromptFigures& figures : file.prompts) {
    if (figures.is_equal) continue;
    std::printf("  \"%s\": the same for %" PRIu64 " of %zu tokens; %s (the reference %s)\n",
                figures.prompt.c_str(), figures.equal_tokens, figures.reference.ids.size(),
                Describe(figures.answer).c_str(), Describe(figures.reference).c_str());
  }
}

std::string AnswersAsTable(const FileFigures& file) {
  std::string page = "<h2>" + EscapeMarkup(BaseName(file.file)) + "</h2>\n<p>" +
                     EscapeMarkup(GateLine(GateOf(file.prompts), file.prompts.size())) +
                     "</p>\n<table><tr><th>prompt</th><th>reference</th><th>this file</th></tr>\n";
  for (const PromptFigures& figures : file.prompts) {
    page += "<tr><td>" + EscapeMarkup(figures.prompt) + "</td>";
    for (const Answer* answer : {&figures.reference, &figures.answer}) {
      page += "<td><pre>" + EscapeMarkup(answer->text) + "</pre><small>" + Describe(*answer);
      if (answer == &figures.answer) {
        page += figures.is_equal
                    ? ", the same"
                    : Format(", the same for %" PRIu64 " tokens", figures.equal_tokens);
      }
      page += "</small></td>";
    }
    page += "</tr>\n";
  }
  return page + "</table>\n";
}

}  // namespace

void ShowComparison(const Comparison& comparison) {
  std::printf("reference %s; %" PRIu64 " windows of %" PRIu64 " tokens of %s\n",
              comparison.reference.c_str(), comparison.windows, comparison.window,
              comparison.text_file.c_str());
  for (const FileFigures& file : comparison.files) {
    const TextFigures& text = file.text;
    std::printf("%s (%.1f MB)\n", file.file.c_str(), static_cast<double>(file.file_bytes) / 1e6);
    std::printf("  KL          mean %.5f (+- %.5f), median %.5f, 99 %% %.5f, largest %.4f\n",
                text.mean_kl, text.kl_standard_error, text.median_kl, text.kl_99, text.max_kl);
    std::printf("  same token  %.2f %% of %" PRIu64 "\n", Percent(text.same_top), text.tokens);
    std::printf("  perplexity  %.4f (reference %.4f, %+.2f %%)\n", text.perplexity,
                text.reference_perplexity, PerplexityChange(text));
    std::printf("  position    mean KL   same token   perplexity (reference)\n");
    for (const RangeFigures& range : text.ranges) {
      std::printf("  %-11s %.5f   %6.2f %%     %.4f (%.4f)\n",
                  Format("%" PRIu64 "-%" PRIu64, range.begin, range.end - 1).c_str(), range.mean_kl,
                  Percent(range.same_top), range.perplexity, range.reference_perplexity);
    }
    if (!file.prompts.empty()) ShowPrompts(file);
  }
}

void ShowComparisonAsJson(const Comparison& comparison) {
  std::vector<JsonObject> files;
  for (const FileFigures& file : comparison.files) files.push_back(FileAsJson(file));
  JsonObject()
      .String("reference", comparison.reference)
      .Integer("reference_bytes", comparison.reference_bytes)
      .String("text_file", comparison.text_file)
      .Integer("context", comparison.window)
      .Integer("windows", comparison.windows)
      .Objects("files", files)
      .Print();
}

std::string PageOf(const Comparison& comparison) {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>graft-run "
      "compare</title>\n"
      "<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}td,th{text-align:left;"
      "padding:.3em .8em;border-bottom:1px solid #ddd;vertical-align:top}table{border-collapse:"
      "collapse}pre{white-space:pre-wrap;margin:0}</style>\n<h1>Against " +
      EscapeMarkup(BaseName(comparison.reference)) + "</h1>\n<p>" +
      Format("%" PRIu64 " windows of %" PRIu64 " tokens of ", comparison.windows,
             comparison.window) +
      EscapeMarkup(BaseName(comparison.text_file)) +
      "</p>\n<table><tr><th>file</th><th>MB</th><th>mean KL</th><th>99 % KL</th>"
      "<th>same token</th><th>perplexity</th><th>change</th></tr>\n";
  for (const FileFigures& file : comparison.files) {
    const TextFigures& text = file.text;
    page += "<tr><td>" + EscapeMarkup(BaseName(file.file)) +
            Format(
                "</td><td>%.1f</td><td>%.5f &plusmn; %.5f</td><td>%.5f</td><td>%.2f %%</td>"
                "<td>%.4f</td><td>%+.2f %%</td></tr>\n",
                static_cast<double>(file.file_bytes) / 1e6, text.mean_kl, text.kl_standard_error,
                text.kl_99, Percent(text.same_top), text.perplexity, PerplexityChange(text));
  }
  page += "</table>\n" + PlotOf(comparison);
  for (const FileFigures& file : comparison.files) {
    if (!file.prompts.empty()) page += AnswersAsTable(file);
  }
  return page + "</html>\n";
}

}  // namespace graft_run
