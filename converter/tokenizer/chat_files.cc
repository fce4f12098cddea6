// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/chat_files.h"

#include <memory>

#include "converter/base/input_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTemplateBytes = uint64_t{1} << 20;
constexpr size_t kMaxTokenBytes = 4096;

/// The member "chat_template": one template, or a list of named ones.
Result<std::string> TemplateIn(const JsonValue& root) {
  const JsonValue templates = root.Find("chat_template");
  if (templates.IsString()) return root.GetString("chat_template");
  for (size_t i = 0; i < templates.size() && templates.IsArray(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string name, templates.at(i).GetString("name"));
    if (name == "default") return templates.at(i).GetString("template");
  }
  return std::string();
}

/// A token, which is a text, or an object whose "content" is one.
Result<std::string> TokenIn(const JsonValue& root, const char* key) {
  const JsonValue token = root.Find(key);
  std::string text;
  if (token.IsObject()) {
    GRAFT_ASSIGN_OR_RETURN(text, token.GetString("content", ""));
  } else if (token.IsString()) {
    text = token.AsString().value();
  }
  if (text.size() > kMaxTokenBytes) return token.Fail("is too long for a token");
  return text;
}

Status FillTokens(const JsonValue& root, ChatFiles* files) {
  if (files->bos_token.empty()) {
    GRAFT_ASSIGN_OR_RETURN(files->bos_token, TokenIn(root, "bos_token"));
  }
  if (files->eos_token.empty()) {
    GRAFT_ASSIGN_OR_RETURN(files->eos_token, TokenIn(root, "eos_token"));
  }
  return OkStatus();
}

}  // namespace

Result<ChatFiles> ReadChatFiles(const fs::path& folder) {
  ChatFiles files;
  if (const fs::path path = folder / "chat_template.jinja"; Exists(path)) {
    GRAFT_ASSIGN_OR_RETURN(files.source, ReadTextFile(path, kMaxTemplateBytes));
  }
  if (const fs::path path = folder / "chat_template.json"; files.source.empty() && Exists(path)) {
    GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(path));
    GRAFT_ASSIGN_OR_RETURN(files.source, TemplateIn(document->root()));
  }
  std::unique_ptr<JsonDocument> settings;
  std::unique_ptr<JsonDocument> map;
  if (const fs::path path = folder / "tokenizer_config.json"; Exists(path)) {
    GRAFT_ASSIGN_OR_RETURN(settings, JsonDocument::Read(path));
    if (files.source.empty()) {
      GRAFT_ASSIGN_OR_RETURN(files.source, TemplateIn(settings->root()));
    }
  }
  if (const fs::path path = folder / "special_tokens_map.json"; Exists(path)) {
    GRAFT_ASSIGN_OR_RETURN(map, JsonDocument::Read(path));
  }
  // As transformers: the map counts first, but not beside a list of all tokens.
  const bool has_list = settings != nullptr && settings->root().Has("added_tokens_decoder");
  if (map != nullptr && !has_list) GRAFT_RETURN_IF_ERROR(FillTokens(map->root(), &files));
  if (settings != nullptr) GRAFT_RETURN_IF_ERROR(FillTokens(settings->root(), &files));
  if (map != nullptr) GRAFT_RETURN_IF_ERROR(FillTokens(map->root(), &files));
  return files;
}

Result<ChatFiles> ChooseChat(const fs::path& tokenizer, const fs::path& chat,
                             const fs::path& base) {
  ChatFiles chosen;
  const auto fill = [&chosen](const fs::path& folder, bool tokens) -> Status {
    if (folder.empty()) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(ChatFiles files, ReadChatFiles(folder));
    if (chosen.source.empty()) chosen.source = std::move(files.source);
    if (tokens && chosen.bos_token.empty()) chosen.bos_token = std::move(files.bos_token);
    if (tokens && chosen.eos_token.empty()) chosen.eos_token = std::move(files.eos_token);
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(fill(tokenizer, true));
  GRAFT_RETURN_IF_ERROR(fill(chat, tokenizer.empty()));
  GRAFT_RETURN_IF_ERROR(fill(base, tokenizer.empty()));
  return chosen;
}

}  // namespace graft::converter
