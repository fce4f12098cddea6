// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/texts/calibration_texts.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/base/cancellation.h"
#include "converter/base/input_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kReadBytes = size_t{1} << 18;

// Of plain text so many bytes are read for each token that is wanted, which is more than it takes.
constexpr size_t kBytesForEachToken = 12;

/// Ids that become texts of one length.
class Texts {
 public:
  explicit Texts(CalibrationOptions* options)
      : options_(options), wanted_(static_cast<size_t>(options->texts * options->tokens_each)) {}

  bool full() const { return ids_.size() >= wanted_; }
  void Add(std::span<const int32_t> ids) {
    const size_t count = std::min(ids.size(), wanted_ - ids_.size());
    ids_.insert(ids_.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
  }
  Status Finish(const std::string& path) {
    if (ids_.size() < 2) {
      return Error(StatusCode::kInvalidArgument, "%s: there is no text that gives two tokens",
                   path.c_str());
    }
    options_->tokens_each = std::min(options_->tokens_each, static_cast<int64_t>(ids_.size()));
    options_->texts = static_cast<int64_t>(ids_.size()) / options_->tokens_each;
    ids_.resize(static_cast<size_t>(options_->texts * options_->tokens_each));
    options_->ids = std::move(ids_);
    return OkStatus();
  }

 private:
  CalibrationOptions* const options_;
  const size_t wanted_;
  std::vector<int32_t> ids_;
};

/// The lines of a file, one after another.
class LineReader {
 public:
  explicit LineReader(const InputFile& file) : file_(file) {}

  /// False at the file's end.
  /// Errors   kInvalidArgument: a line beyond the limit; those of InputFile.
  Result<bool> Next(std::string* line);
  int64_t number() const { return number_; }

 private:
  Status Read();

  const InputFile& file_;
  uint64_t offset_ = 0;
  std::string ahead_;  // read, and taken up to at_
  size_t at_ = 0;
  int64_t number_ = 0;
};

Status LineReader::Read() {
  GRAFT_RETURN_IF_ERROR(CheckCancelled());
  const auto count =
      static_cast<size_t>(std::min<uint64_t>(kReadBytes, file_.size_bytes() - offset_));
  ahead_.erase(0, at_);  // once a read, not once a line
  at_ = 0;
  const size_t before = ahead_.size();
  ahead_.resize(before + count);
  GRAFT_RETURN_IF_ERROR(
      file_.ReadAt(offset_, {reinterpret_cast<uint8_t*>(ahead_.data()) + before, count}));
  offset_ += count;
  return OkStatus();
}

Result<bool> LineReader::Next(std::string* line) {
  size_t searched = at_, end = 0;
  while ((end = ahead_.find('\n', searched)) == std::string::npos) {
    const size_t unfinished = ahead_.size() - at_;
    if (offset_ == file_.size_bytes() || unfinished > kMaxCalibrationLineBytes) break;
    GRAFT_RETURN_IF_ERROR(Read());
    searched = unfinished;
  }
  if (at_ == ahead_.size()) return false;
  ++number_;
  const size_t line_end = std::min(end, ahead_.size());
  if (line_end - at_ > kMaxCalibrationLineBytes) {
    return Error(StatusCode::kInvalidArgument, "%s: line %lld is longer than %zu bytes",
                 file_.path().c_str(), static_cast<long long>(number_), kMaxCalibrationLineBytes);
  }
  line->assign(ahead_, at_, line_end - at_);
  at_ = std::min(line_end + 1, ahead_.size());
  if (line->ends_with('\r')) line->pop_back();
  return true;
}

/// A text, and whether the tokenizer adds what goes around it.
struct RenderedText {
  std::string text;
  bool add_special = false;
};

Result<RenderedText> RenderMessages(const Json& messages, const Json& object,
                                    const TextEncoder& model, bool has_template) {
  if (!has_template) {
    return Error(StatusCode::kUnsupported, "is a conversation, and the model has no chat template");
  }
  const std::string tools =
      object.contains("tools") && object["tools"].is_array() ? object["tools"].dump() : "";
  GRAFT_ASSIGN_OR_RETURN(std::string text, model.RenderConversation(messages.dump(), tools));
  return RenderedText{std::move(text), false};
}

Result<RenderedText> RenderLine(const Json& object, const TextEncoder& model, bool has_template) {
  const auto is = [&](const char* key, Json::value_t type) {
    return object.contains(key) && object[key].type() == type;
  };
  if (is("messages", Json::value_t::array)) {
    return RenderMessages(object["messages"], object, model, has_template);
  }
  if (is("text", Json::value_t::string)) {
    return RenderedText{object["text"].get<std::string>(), true};
  }
  if (is("prompt", Json::value_t::array) && is("completion", Json::value_t::array)) {
    Json messages = object["prompt"];
    for (const Json& message : object["completion"]) messages.push_back(message);
    return RenderMessages(messages, object, model, has_template);
  }
  if (is("prompt", Json::value_t::string) && is("completion", Json::value_t::string)) {
    if (!has_template) {
      return RenderedText{
          object["prompt"].get<std::string>() + object["completion"].get<std::string>(), true};
    }
    const Json messages = {{{"role", "user"}, {"content", object["prompt"]}},
                           {{"role", "assistant"}, {"content", object["completion"]}}};
    return RenderMessages(messages, object, model, has_template);
  }
  return Error(StatusCode::kInvalidArgument,
               "must be an object with \"messages\", \"text\", or \"prompt\" and \"completion\"");
}

Status ReadLines(const InputFile& file, const TextEncoder& model, bool has_template, Texts* texts) {
  LineReader lines(file);
  std::string line;
  while (!texts->full()) {
    GRAFT_ASSIGN_OR_RETURN(const bool is_line, lines.Next(&line));
    if (!is_line) break;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const std::string name = file.path() + ", line " + std::to_string(lines.number());
    // Bounds and UTF-8 are checked here, so that the second reader meets neither depth nor bytes
    // that it cannot take.
    GRAFT_ASSIGN_OR_RETURN(const auto checked, JsonDocument::Parse(line, name));
    if (!checked->root().IsObject()) {
      return checked->root().Fail("must be an object", StatusCode::kInvalidArgument);
    }
    const Json object = Json::parse(line, nullptr, false);
    const Result<RenderedText> text = RenderLine(object, model, has_template);
    if (!text.ok()) return text.status().WithContext(name);
    texts->Add(model.Encode(text->text, text->add_special));
  }
  return OkStatus();
}

// Characters that a piece begins or ends amid are left out, and of its first line what is not whole.
std::string_view WholePart(std::string_view piece, bool at_start, bool at_end) {
  const auto is_amid = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  if (!at_start) {
    const size_t line = piece.find('\n');
    if (line < piece.size() / 2) piece.remove_prefix(line + 1);
    for (int i = 0; i < 3 && !piece.empty() && is_amid(piece.front()); ++i) piece.remove_prefix(1);
  }
  if (!at_end) {
    for (int i = 0; i < 3 && !piece.empty() && is_amid(piece.back()); ++i) piece.remove_suffix(1);
    if (!piece.empty() && (static_cast<unsigned char>(piece.back()) & 0x80) != 0) {
      piece.remove_suffix(1);
    }
  }
  return piece;
}

Status ReadPieces(const InputFile& file, const TextEncoder& model,
                  const CalibrationOptions& options, Texts* texts) {
  const auto wanted = static_cast<uint64_t>(options.texts);
  const auto tokens = static_cast<uint64_t>(options.tokens_each);
  const uint64_t all = file.size_bytes();
  // A piece for each text, or fewer that give more, so that a short file is used whole.
  const uint64_t pieces = std::clamp<uint64_t>(all / (tokens * kBytesForEachToken), 1, wanted);
  const uint64_t most_tokens = (wanted + pieces - 1) / pieces * tokens;
  std::string piece;
  for (uint64_t i = 0; i < pieces && !texts->full(); ++i) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    const uint64_t begin = all / pieces * i;
    const uint64_t next = i + 1 == pieces ? all : all / pieces * (i + 1);
    const uint64_t end = std::min(next, begin + most_tokens * kBytesForEachToken);
    piece.resize(static_cast<size_t>(end - begin));
    GRAFT_RETURN_IF_ERROR(
        file.ReadAt(begin, {reinterpret_cast<uint8_t*>(piece.data()), piece.size()}));
    const std::string part(WholePart(piece, i == 0, end == all));
    if (part.find('\0') != std::string::npos) {
      return Error(StatusCode::kInvalidArgument, "%s: is no text: it has zero bytes",
                   file.path().c_str());
    }
    const std::vector<int32_t> ids = model.Encode(part, true);
    texts->Add(std::span(ids).first(std::min(ids.size(), static_cast<size_t>(most_tokens))));
  }
  return OkStatus();
}

}  // namespace

Status ReadCalibrationTexts(const std::string& path, const TextEncoder& model,
                            CalibrationOptions* options) {
  GRAFT_ASSIGN_OR_RETURN(const auto file, InputFile::Open(path));
  Texts texts(options);
  if (path.ends_with(".jsonl")) {
    const bool has_template = !model.RenderMessage("?").empty();
    GRAFT_RETURN_IF_ERROR(ReadLines(*file, model, has_template, &texts));
  } else {
    GRAFT_RETURN_IF_ERROR(ReadPieces(*file, model, *options, &texts));
  }
  GRAFT_RETURN_IF_ERROR(texts.Finish(path));
  const size_t slash = path.rfind('/');
  options->source = slash == std::string::npos ? path : path.substr(slash + 1);
  return OkStatus();
}

}  // namespace graft::converter
