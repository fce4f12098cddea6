// SPDX-License-Identifier: Apache-2.0
#include "converter/merge/merged_files.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "converter/base/input_file.h"
#include "converter/checkpoint/checkpoint_files.h"
#include "converter/checkpoint/model_parts.h"
#include "converter/json/json.h"
#include "converter/merge/end_tokens.h"
#include "converter/tokenizer/chat_files.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

Status CarryOverNamed(const fs::path& from, std::span<const char* const> names,
                      const fs::path& to) {
  for (const char* name : names) {
    if (Exists(from / name)) GRAFT_RETURN_IF_ERROR(CarryOverFile(from / name, to / name));
  }
  return OkStatus();
}

/// The base's files that an adapter's own take the place of.
std::set<std::string> Replaced(const Companions& companions) {
  std::set<std::string> names;
  const auto add = [&names](std::span<const char* const> files) {
    names.insert(files.begin(), files.end());
  };
  if (!companions.tokenizer.empty()) add(TokenizerFiles());
  if (!companions.tokenizer.empty() || !companions.chat.empty()) add(TemplateFiles());
  if (!companions.generation.empty()) names.insert("generation_config.json");
  if (!companions.images.empty()) names.insert("preprocessor_config.json");
  if (!companions.sentences.empty() && Exists(companions.sentences / kModulesFile)) {
    add(SentenceFiles());
    names.insert(std::string(kModulesFile));
  }
  return names;
}

/// What programs write beside codes about them.
constexpr const char* kQuantizationFiles[] = {"quantize_config.json", "quant_config.json",
                                              "hf_quant_config.json", "quantization_config.json"};

/// The template that holds, where its file does not come along with the tokenizer.
Status WriteChat(const Companions& companions, const fs::path& base, const fs::path& to) {
  const fs::path& tokenizer = companions.tokenizer;
  const fs::path& chat = companions.chat;
  if (tokenizer.empty() && chat.empty())
    return CarryOverFolder(base / kTemplateFolder, to / kTemplateFolder);
  if (!tokenizer.empty()) {
    GRAFT_RETURN_IF_ERROR(CarryOverNamed(tokenizer, TemplateFiles(), to));
    GRAFT_RETURN_IF_ERROR(CarryOverFolder(tokenizer / kTemplateFolder, to / kTemplateFolder));
  }
  GRAFT_ASSIGN_OR_RETURN(const ChatFiles chosen, ChooseChat(tokenizer, chat, base));
  GRAFT_ASSIGN_OR_RETURN(const ChatFiles written, ReadChatFiles(to));
  if (chosen.source != written.source)
    GRAFT_RETURN_IF_ERROR(WriteSmallFile(to / "chat_template.jinja", chosen.source));
  std::vector<std::pair<std::string, std::string>> tokens;
  if (chosen.bos_token != written.bos_token)
    tokens.emplace_back("bos_token", JsonQuote(chosen.bos_token));
  if (chosen.eos_token != written.eos_token)
    tokens.emplace_back("eos_token", JsonQuote(chosen.eos_token));
  if (tokens.empty()) return OkStatus();
  const fs::path settings = to / "tokenizer_config.json";
  GRAFT_ASSIGN_OR_RETURN(const std::string text, WithMembers(settings, tokens));
  return WriteSmallFile(settings, text);
}

Status WriteSentenceFiles(const Companions& companions, const fs::path& base, const fs::path& to) {
  const fs::path& own = companions.sentences;
  const bool own_modules = !own.empty() && Exists(own / kModulesFile);
  const fs::path& modules = own_modules ? own : base;
  GRAFT_ASSIGN_OR_RETURN(const auto folders, ModuleFolders(modules));
  for (const fs::path& folder : folders)
    GRAFT_RETURN_IF_ERROR(CarryOverFolder(modules / folder, to / folder));
  if (own.empty()) return OkStatus();
  if (own_modules) GRAFT_RETURN_IF_ERROR(CarryOverFile(own / kModulesFile, to / kModulesFile));
  GRAFT_RETURN_IF_ERROR(CarryOverNamed(own, SentenceFiles(), to));
  for (const fs::path& folder : folders) {
    if (!own_modules) GRAFT_RETURN_IF_ERROR(CarryOverFolder(own / folder, to / folder));
  }
  return OkStatus();
}

/// The end that an adapter brings is written to the file that generation is set up from.
Status WriteEndTokens(const Companions& companions, const fs::path& base, const fs::path& to) {
  const fs::path config = to / "config.json";
  if (companions.chat.empty() || !Exists(config)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(config));
  GRAFT_ASSIGN_OR_RETURN(const EndTokens end, FindEndTokens(base, document->root(), companions));
  if (!end.has_adapters) return OkStatus();
  std::string ids;
  for (const uint32_t id : end.ids) ids += (ids.empty() ? "[" : ", ") + std::to_string(id);
  const fs::path generation = to / "generation_config.json";
  const fs::path file = Exists(generation) ? generation : config;
  GRAFT_ASSIGN_OR_RETURN(const std::string text, WithMembers(file, {{"eos_token_id", ids + "]"}}));
  return WriteSmallFile(file, text);
}

}  // namespace

Status WriteMergedFiles(const MergedSource& merged, const fs::path& base,
                        std::optional<DType> dtype, const fs::path& to) {
  const Companions& companions = merged.companions();
  ConfigChanges changes = merged.config_changes();
  changes.dtype = dtype;
  std::set<std::string> left_out = Replaced(companions);
  if (changes.drop_quantization) {
    left_out.insert(std::begin(kQuantizationFiles), std::end(kQuantizationFiles));
  }
  GRAFT_RETURN_IF_ERROR(CarryOverFiles(base, to, changes, left_out));
  if (!companions.tokenizer.empty())
    GRAFT_RETURN_IF_ERROR(CarryOverNamed(companions.tokenizer, TokenizerFiles(), to));
  GRAFT_RETURN_IF_ERROR(WriteChat(companions, base, to));
  constexpr const char* kImages[] = {"preprocessor_config.json"};
  if (!companions.images.empty())
    GRAFT_RETURN_IF_ERROR(CarryOverNamed(companions.images, kImages, to));
  constexpr const char* kGeneration[] = {"generation_config.json"};
  if (!companions.generation.empty())
    GRAFT_RETURN_IF_ERROR(CarryOverNamed(companions.generation, kGeneration, to));
  GRAFT_RETURN_IF_ERROR(WriteSentenceFiles(companions, base, to));
  return WriteEndTokens(companions, base, to);
}

}  // namespace graft::converter
