// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/texts/probe_texts.h"

#include <algorithm>
#include <utility>

#include "converter/commands/texts/text_encoder.h"
#include "converter/json/json.h"
#include "schema/generated/model_generated.h"
#include "schema/verify_task.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

constexpr size_t kMaxLines = 16;
constexpr size_t kMaxLineBytes = 4096;
constexpr uint32_t kIdsWithoutText = 8;

struct Question {
  std::string text;
  bool chat = false;
};

std::vector<Question> ChooseQuestions(const std::vector<std::string>& lines, bool has_chat) {
  std::vector<Question> questions;
  questions.reserve(lines.size());
  for (const std::string& line : lines) questions.push_back({line, has_chat});
  if (!questions.empty()) return questions;
  return {{"The capital of France is", false},
          {"1, 2, 3, 4, 5,", false},
          {has_chat ? "What is the capital of France?" : "Once upon a time", has_chat}};
}

// Empty if there are none, or too many.
std::vector<uint32_t> IdsOf(const TextEncoder& model, const Question& question) {
  const std::string text = question.chat ? model.RenderMessage(question.text) : question.text;
  if (question.chat && (text.empty() || text.size() > schema::kMaxProbeBytes)) return {};
  const std::vector<int32_t> ids = model.Encode(text, !question.chat);
  if (ids.size() > schema::kMaxProbeIds) return {};
  return {ids.begin(), ids.end()};
}

}  // namespace

Result<std::vector<std::string>> ReadProbeLines(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxLines * kMaxLineBytes));
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    at = end + 1;
  }
  const bool fits = std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.size() <= kMaxLineBytes && line.find('\0') == std::string::npos;
  });
  if (!lines.empty() && lines.size() <= kMaxLines && fits) return lines;
  return Error(StatusCode::kInvalidArgument,
               "%s: has %zu lines; it must have 1 to %zu, each of at most %zu bytes of text",
               path.c_str(), lines.size(), kMaxLines, kMaxLineBytes);
}

Result<std::vector<ProbeText>> MakeProbes(const std::vector<std::string>& lines,
                                          const ModelDescription& description,
                                          flatbuffers::FlatBufferBuilder& header) {
  std::vector<ProbeText> probes;
  if (description.tokenizer.IsNull()) {
    if (description.task.task != Task::kTextGeneration || !lines.empty()) return probes;
    const auto* graph = flatbuffers::GetTemporaryPointer(header, description.graph);
    const auto output = static_cast<unsigned>(graph->outputs()->Get(0));
    const auto vocabulary =
        static_cast<uint32_t>(graph->values()->Get(output)->shape()->Get(1)->size());
    ProbeText probe;
    for (uint32_t i = 0; i < kIdsWithoutText; ++i) {
      probe.ids.push_back(static_cast<uint32_t>(uint64_t{vocabulary} * i / kIdsWithoutText));
    }
    probes.push_back(std::move(probe));
    return probes;
  }
  TextEncoder model;
  if (!model.Open(description, header)) return probes;
  // What the time makes of a template is no constant.
  const bool has_chat = !description.chat_template.empty() &&
                        description.chat_template.find("strftime_now") == std::string::npos;
  for (const Question& question : ChooseQuestions(lines, has_chat)) {
    ProbeText probe{question.text, question.chat, {}, 0};
    probe.ids = IdsOf(model, question);
    if (!probe.ids.empty()) probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace graft::converter
