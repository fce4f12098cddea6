// SPDX-License-Identifier: Apache-2.0
// Builds a JsonDocument from nlohmann's event parser, so that depth, duplicates and sizes are
// checked as the bytes go by.
#include <algorithm>
#include <limits>
#include <span>

#include <nlohmann/json.hpp>

#include "converter/base/foreign_file.h"
#include "converter/base/input_file.h"
#include "converter/json/json.h"
#include "converter/json/json_node.h"

namespace graft::converter {

JsonDocument::JsonDocument() = default;
JsonDocument::~JsonDocument() = default;

/// Receives the parser's events. A container's members wait on a stack until it closes, then move
/// side by side into nodes_.
class JsonBuilder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  JsonBuilder(JsonDocument* document, const JsonLimits& limits)
      : document_(document), limits_(limits) {}

  bool null() {
    Push(JsonKind::kNull);
    return Within();
  }
  bool boolean(bool value) {
    Push(JsonKind::kBool)->integer = value ? 1 : 0;
    return Within();
  }
  bool number_integer(number_integer_t value) {
    Push(JsonKind::kInteger)->integer = value;
    return Within();
  }
  bool number_unsigned(number_unsigned_t value) {
    if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return number_integer(static_cast<int64_t>(value));
    }
    Push(JsonKind::kNumber)->number = static_cast<double>(value);
    return Within();
  }
  bool number_float(number_float_t value, const string_t&) {
    Push(JsonKind::kNumber)->number = value;
    return Within();
  }
  bool string(string_t& value) {
    JsonDocument::Node* node = Push(JsonKind::kString);
    node->text_offset = static_cast<uint32_t>(document_->text_.size());
    node->text_bytes = static_cast<uint32_t>(value.size());
    document_->text_ += value;
    return Within();
  }
  bool binary(binary_t&) { return Stop("holds binary data"); }
  bool key(string_t& value) {
    key_offset_ = static_cast<uint32_t>(document_->text_.size());
    key_bytes_ = static_cast<uint32_t>(value.size());
    document_->text_ += value;
    return true;
  }
  bool start_object(std::size_t) { return Open(JsonKind::kObject); }
  bool start_array(std::size_t) { return Open(JsonKind::kArray); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& error) {
    // The library's sentence starts with its own tag in brackets.
    std::string_view what = error.what();
    const size_t tag = what.find("] ");
    if (tag != std::string_view::npos) what.remove_prefix(tag + 2);
    return Stop("is not valid JSON at byte " + std::to_string(position) + ": " +
                std::string(what.substr(0, 200)));
  }

  /// Puts the root at node 0; what went wrong, if something did.
  Status Finish(bool parsed) {
    if (!parsed || !fault_.empty()) {
      return Status(StatusCode::kCorrupt,
                    document_->name_ + ": " + (fault_.empty() ? "is not valid JSON" : fault_));
    }
    document_->nodes_[0] = pending_.front();
    Adopt(0);
    document_->missing_node_ = static_cast<uint32_t>(document_->nodes_.size());
    document_->nodes_.emplace_back();
    return OkStatus();
  }

 private:
  JsonDocument::Node* Push(JsonKind kind) {
    JsonDocument::Node& node = pending_.emplace_back();
    node.kind = kind;
    node.key_offset = key_offset_;
    node.key_bytes = key_bytes_;
    key_bytes_ = 0;
    return &node;
  }

  bool Open(JsonKind kind) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Stop("is nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    Push(kind);
    open_.push_back(static_cast<uint32_t>(pending_.size() - 1));
    return Within();
  }

  bool Close() {
    std::vector<JsonDocument::Node>& nodes = document_->nodes_;
    const uint32_t container = open_.back();
    open_.pop_back();
    const uint32_t first = static_cast<uint32_t>(nodes.size());
    const uint32_t count = static_cast<uint32_t>(pending_.size() - container - 1);
    nodes.insert(nodes.end(), pending_.begin() + container + 1, pending_.end());
    pending_.resize(container + 1);
    pending_[container].first = first;
    pending_[container].count = count;
    for (uint32_t i = 0; i < count; ++i) Adopt(first + i);
    if (pending_[container].kind != JsonKind::kObject) return true;

    std::vector<uint32_t>& by_key = document_->by_key_;
    pending_[container].sorted = static_cast<uint32_t>(by_key.size());
    for (uint32_t i = 0; i < count; ++i) by_key.push_back(first + i);
    const auto begin = by_key.end() - count;
    std::sort(begin, by_key.end(), [&](uint32_t a, uint32_t b) {
      return document_->KeyOf(nodes[a]) < document_->KeyOf(nodes[b]);
    });
    const auto twice = std::adjacent_find(begin, by_key.end(), [&](uint32_t a, uint32_t b) {
      return document_->KeyOf(nodes[a]) == document_->KeyOf(nodes[b]);
    });
    if (twice != by_key.end()) {
      return Stop("has the key '" + std::string(document_->KeyOf(nodes[*twice]).substr(0, 200)) +
                  "' twice in one object");
    }
    return true;
  }

  // Members learn their parent's final place once it has one.
  void Adopt(uint32_t index) {
    const JsonDocument::Node node = document_->nodes_[index];
    for (uint32_t i = 0; i < node.count; ++i) document_->nodes_[node.first + i].parent = index;
  }

  bool Within() {
    // The first node is kept for the root, which still waits among the pending ones.
    if (document_->nodes_.size() - 1 + pending_.size() <= limits_.max_values) return true;
    return Stop("holds more than " + std::to_string(limits_.max_values) + " values");
  }

  bool Stop(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
    return false;
  }

  JsonDocument* document_;
  const JsonLimits& limits_;
  uint32_t key_offset_ = 0;
  uint32_t key_bytes_ = 0;
  std::vector<JsonDocument::Node> pending_;
  std::vector<uint32_t> open_;
  std::string fault_;
};

Result<std::unique_ptr<JsonDocument>> JsonDocument::Parse(std::string_view text, std::string name,
                                                          const JsonLimits& limits) {
  std::unique_ptr<JsonDocument> document(new JsonDocument);
  document->name_ = std::move(name);
  // Offsets and node numbers are 32 bits wide.
  const uint64_t limit = std::min<uint64_t>(limits.max_bytes, uint64_t{1} << 31);
  if (text.size() > limit) {
    return Error(StatusCode::kCorrupt, "%s: %zu bytes of JSON, more than the limit of %llu",
                 document->name_.c_str(), text.size(), static_cast<unsigned long long>(limit));
  }
  document->nodes_.emplace_back();
  JsonBuilder builder(document.get(), limits);
  const bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  GRAFT_RETURN_IF_ERROR(builder.Finish(parsed));
  return document;
}

namespace {

const char* WhatTextIs(std::string_view text) {
  return WhatFileIs(std::span(reinterpret_cast<const uint8_t*>(text.data()),
                              std::min(text.size(), kForeignStartBytes)));
}

}  // namespace

Result<std::unique_ptr<JsonDocument>> JsonDocument::Read(const std::filesystem::path& file,
                                                         const JsonLimits& limits) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, limits.max_bytes));
  if (const char* what = WhatTextIs(text); what != nullptr) {
    return Error(StatusCode::kCorrupt, "%s: %s", file.c_str(), what);
  }
  return Parse(text, file.string(), limits);
}

Result<std::string> ReadTextFile(const std::filesystem::path& file, uint64_t max_bytes) {
  GRAFT_ASSIGN_OR_RETURN(const auto opened, InputFile::Open(file));
  if (opened->size_bytes() > max_bytes) {
    return Error(StatusCode::kCorrupt, "%s: %llu bytes, more than the limit of %llu", file.c_str(),
                 static_cast<unsigned long long>(opened->size_bytes()),
                 static_cast<unsigned long long>(max_bytes));
  }
  std::string text(static_cast<size_t>(opened->size_bytes()), '\0');
  GRAFT_RETURN_IF_ERROR(
      opened->ReadAt(0, std::span(reinterpret_cast<uint8_t*>(text.data()), text.size())));
  // Text of any other kind may be meant so; this never is.
  if (text.starts_with("version https://git-lfs.github.com/spec/")) {
    return Error(StatusCode::kCorrupt, "%s: %s", file.c_str(), WhatTextIs(text));
  }
  return text;
}

std::string JsonQuote(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace graft::converter
