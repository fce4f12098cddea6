// SPDX-License-Identifier: Apache-2.0
#include "converter/merge/end_tokens.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "converter/base/input_file.h"
#include "converter/tokenizer/chat_files.h"
#include "converter/tokenizer/token_ids.h"
#include "converter/tokenizer/tokenizer_files.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxEndTokens = 1024;

/// eos_token_id: an id, a list of ids, or nothing.
Result<std::vector<uint32_t>> ReadIds(const JsonValue& config) {
  std::vector<uint32_t> tokens;
  if (!config.Has("eos_token_id")) return tokens;
  const JsonValue member = config.Find("eos_token_id");
  const size_t count = member.IsArray() ? member.size() : 1;
  if (count > kMaxEndTokens) return member.Fail("lists more than 1024 tokens");
  for (size_t i = 0; i < count; ++i) {
    const JsonValue element = member.IsArray() ? member.at(i) : member;
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, element.AsInt());
    if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
      return element.Fail("is " + std::to_string(id) + ", which is not a token id");
    }
    tokens.push_back(static_cast<uint32_t>(id));
  }
  return tokens;
}

/// The id of the token that an adapter's own texts end with, if it says so and the tokenizer knows
/// it.
Result<std::optional<uint32_t>> AdaptersEnd(const fs::path& base, const JsonValue& config,
                                            const Companions& companions) {
  std::optional<uint32_t> id;
  if (companions.chat.empty()) return id;
  GRAFT_ASSIGN_OR_RETURN(const ChatFiles files, ReadChatFiles(companions.chat));
  if (files.eos_token.empty()) return id;
  GRAFT_ASSIGN_OR_RETURN(const TokenizerContext context, ContextOf(config));
  GRAFT_ASSIGN_OR_RETURN(
      const auto tokenizer,
      ReadTokenizerFiles(companions.tokenizer.empty() ? base : companions.tokenizer, context));
  if (tokenizer == nullptr) return id;
  const auto found =
      FindTokenId(tokenizer->Find("model"), tokenizer->Find("added_tokens"), files.eos_token);
  if (found && *found >= 0 && *found <= std::numeric_limits<int32_t>::max())
    id = static_cast<uint32_t>(*found);
  return id;
}

}  // namespace

Result<EndTokens> FindEndTokens(const fs::path& base, const JsonValue& config,
                                const Companions& companions) {
  EndTokens result;
  const fs::path& folder = companions.generation.empty() ? base : companions.generation;
  // The generation configuration knows best which tokens end an answer; the model's own is older.
  if (const fs::path path = folder / "generation_config.json"; Exists(path)) {
    GRAFT_ASSIGN_OR_RETURN(const auto generation, JsonDocument::Read(path));
    GRAFT_ASSIGN_OR_RETURN(result.ids, ReadIds(generation->root()));
  }
  if (result.ids.empty()) {
    GRAFT_ASSIGN_OR_RETURN(result.ids, ReadIds(config));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::optional<uint32_t> end, AdaptersEnd(base, config, companions));
  if (end && std::find(result.ids.begin(), result.ids.end(), *end) == result.ids.end()) {
    result.ids.push_back(*end);
    result.has_adapters = true;
  }
  return result;
}

}  // namespace graft::converter
