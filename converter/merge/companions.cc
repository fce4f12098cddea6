// SPDX-License-Identifier: Apache-2.0
#include "converter/merge/companions.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "converter/checkpoint/model_parts.h"
#include "converter/json/json.h"
#include "converter/tokenizer/chat_files.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

bool HasFile(const fs::path& folder, std::string_view name) {
  std::error_code error;
  return fs::is_regular_file(folder / name, error);
}

/// The contents of those of the files that there are, one behind the other.
Result<std::string> Contents(const fs::path& folder, std::span<const char* const> names) {
  std::string contents;
  for (const char* name : names) {
    if (!HasFile(folder, name)) continue;
    GRAFT_ASSIGN_OR_RETURN(const std::string text,
                           ReadTextFile(folder / name, JsonLimits().max_bytes));
    contents += std::string(name) + '\0' + text + '\0';
  }
  return contents;
}

// Each of these gives what a folder brings of a part, to be compared with what others bring;
// nothing: the part is not there.

Result<std::string> TokenizerIn(const fs::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(std::string contents, Contents(folder, VocabularyFiles()));
  if (contents.empty()) return contents;
  constexpr const char* kAdded[] = {"merges.txt", "added_tokens.json"};
  GRAFT_ASSIGN_OR_RETURN(const std::string added, Contents(folder, kAdded));
  return contents + added;
}

Result<std::string> ChatIn(const fs::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(const ChatFiles files, ReadChatFiles(folder));
  if (files.source.empty() && files.bos_token.empty() && files.eos_token.empty())
    return std::string();
  return files.source + '\0' + files.bos_token + '\0' + files.eos_token;
}

Result<std::string> GenerationIn(const fs::path& folder) {
  constexpr const char* kNames[] = {"generation_config.json"};
  return Contents(folder, kNames);
}

Result<std::string> SentencesIn(const fs::path& folder) {
  constexpr const char* kModules[] = {"modules.json"};
  GRAFT_ASSIGN_OR_RETURN(std::string contents, Contents(folder, kModules));
  GRAFT_ASSIGN_OR_RETURN(const std::string settings, Contents(folder, SentenceFiles()));
  contents += settings;
  constexpr const char* kConfig[] = {"config.json"};
  GRAFT_ASSIGN_OR_RETURN(std::vector<fs::path> modules, ModuleFolders(folder));
  if (modules.empty()) modules.emplace_back("1_Pooling");
  for (const fs::path& module : modules) {
    GRAFT_ASSIGN_OR_RETURN(const std::string config, Contents(folder / module, kConfig));
    contents += config;
  }
  return contents;
}

Result<std::string> ImagesIn(const fs::path& folder) {
  constexpr const char* kNames[] = {"preprocessor_config.json"};
  return Contents(folder, kNames);
}

Result<std::string> LabelsIn(const fs::path& folder) {
  if (!HasFile(folder, "config.json")) return std::string();
  GRAFT_ASSIGN_OR_RETURN(const auto config, JsonDocument::Read(folder / "config.json"));
  const JsonValue labels = config->root().Find("id2label");
  return labels.IsNull() ? std::string() : labels.Text(JsonLimits().max_bytes);
}

struct Part {
  const char* name;
  const char* plural;
  Result<std::string> (*contents)(const fs::path& folder);
  fs::path Companions::*folder;
};
constexpr Part kParts[] = {
    {"tokenizer", "tokenizers", TokenizerIn, &Companions::tokenizer},
    {"chat template", "chat templates", ChatIn, &Companions::chat},
    {"generation_config.json", "files generation_config.json", GenerationIn,
     &Companions::generation},
    {"sentence-transformers settings", "sentence-transformers settings", SentencesIn,
     &Companions::sentences},
    {"preprocessor_config.json", "image processors", ImagesIn, &Companions::images},
    {"labels", "labels", LabelsIn, &Companions::labels},
};

const char* NameOf(const Part& part, const std::string& contents) {
  const bool has_no_template = part.contents == ChatIn && contents.front() == '\0';
  return has_no_template ? "special tokens" : part.name;
}

/// Members of config.json that say nothing about what is computed.
constexpr std::string_view kIdleKeys[] = {
    "_name_or_path", "transformers_version", "torch_dtype", "dtype",
    "use_cache",     "architectures",        "id2label",    "label2id",
    "num_labels",    "problem_type",         "vocab_size",  "pad_token_id",
    "_commit_hash",  "tokenizer_class"};

/// Names the settings of an adapter's config.json that the base has otherwise: the base's hold.
Status FindConfigDifferences(const fs::path& adapter, const fs::path& base, BroughtFiles* brought) {
  if (!HasFile(adapter, "config.json") || !HasFile(base, "config.json")) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const auto own, JsonDocument::Read(adapter / "config.json"));
  GRAFT_ASSIGN_OR_RETURN(const auto bases, JsonDocument::Read(base / "config.json"));
  std::string names;
  for (size_t i = 0; i < own->root().size() && own->root().IsObject(); ++i) {
    const std::string_view key = own->root().key(i);
    if (std::find(std::begin(kIdleKeys), std::end(kIdleKeys), key) != std::end(kIdleKeys)) continue;
    const JsonValue other = bases->root().Find(key);
    constexpr size_t kCompared = 4096;
    if (other.IsNull() || own->root().at(i).Text(kCompared) == other.Text(kCompared)) continue;
    names += (names.empty() ? "" : ", ") + std::string(key.substr(0, 60));
  }
  if (!names.empty())
    brought->unused.push_back("config.json (the base's settings hold: " + names + ")");
  return OkStatus();
}

/// Names the files that nothing reads, since what they belong to is missing.
Status FindUnused(const fs::path& folder, const fs::path& base, const Companions& found,
                  BroughtFiles* brought) {
  if (found.tokenizer.empty()) {
    if (HasFile(folder, "added_tokens.json"))
      brought->unused.emplace_back("added_tokens.json (no vocabulary lies beside it)");
    if (HasFile(folder, "tokenizer_config.json")) {
      GRAFT_ASSIGN_OR_RETURN(const auto settings,
                             JsonDocument::Read(folder / "tokenizer_config.json"));
      if (settings->root().Find("added_tokens_decoder").size() > 0)
        brought->unused.emplace_back(
            "tokens of tokenizer_config.json (no vocabulary lies beside it)");
    }
  }
  if (!found.sentences.empty() && !HasFile(folder, kModulesFile) && !HasFile(base, kModulesFile))
    brought->unused.emplace_back("sentence-transformers settings (there is no modules.json)");
  return FindConfigDifferences(folder, base, brought);
}

}  // namespace

Result<Companions> FindCompanions(std::span<const std::vector<fs::path>> adapters,
                                  const fs::path& base, std::vector<BroughtFiles>* brought) {
  Companions companions;
  std::vector<Companions> each(adapters.size());
  brought->assign(adapters.size(), {});
  for (const Part& part : kParts) {
    fs::path& winner = companions.*part.folder;
    std::string chosen;
    for (size_t i = 0; i < adapters.size(); ++i) {
      for (const fs::path& folder : adapters[i]) {
        GRAFT_ASSIGN_OR_RETURN(std::string contents, part.contents(folder));
        if (contents.empty()) continue;
        if (!winner.empty() && contents != chosen) {
          return Error(StatusCode::kMismatch,
                       "%s and %s bring different %s; remove them from the adapter whose are not "
                       "wanted",
                       winner.c_str(), folder.c_str(), part.plural);
        }
        chosen = std::move(contents);
        winner = folder;
        each[i].*part.folder = folder;
        (*brought)[i].used.emplace_back(NameOf(part, chosen));
        break;
      }
    }
  }
  for (size_t i = 0; i < adapters.size(); ++i) {
    for (const fs::path& folder : adapters[i])
      GRAFT_RETURN_IF_ERROR(FindUnused(folder, base, each[i], &(*brought)[i]));
  }
  return companions;
}

}  // namespace graft::converter
