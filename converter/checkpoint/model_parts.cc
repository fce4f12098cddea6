// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/model_parts.h"

#include <string>

#include "converter/base/input_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVocabularyFiles[] = {"tokenizer.json",         "vocab.txt",    "vocab.json",
                                            "tokenizer.model",        "spiece.model", "tekken.json",
                                            "sentencepiece.bpe.model"};
constexpr const char* kTokenizerFiles[] = {"tokenizer.json",
                                           "vocab.txt",
                                           "vocab.json",
                                           "tokenizer.model",
                                           "spiece.model",
                                           "tekken.json",
                                           "sentencepiece.bpe.model",
                                           "merges.txt",
                                           "added_tokens.json",
                                           "special_tokens_map.json",
                                           "tokenizer_config.json"};
constexpr const char* kTemplateFiles[] = {"chat_template.jinja", "chat_template.json"};
constexpr const char* kSentenceFiles[] = {
    "config_sentence_transformers.json", "sentence_bert_config.json",
    "sentence_roberta_config.json",      "sentence_distilbert_config.json",
    "sentence_camembert_config.json",    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",  "sentence_xlnet_config.json"};

}  // namespace

std::span<const char* const> VocabularyFiles() { return kVocabularyFiles; }
std::span<const char* const> TokenizerFiles() { return kTokenizerFiles; }
std::span<const char* const> TemplateFiles() { return kTemplateFiles; }
std::span<const char* const> SentenceFiles() { return kSentenceFiles; }

bool IsBelow(const fs::path& path) {
  if (path.is_absolute()) return false;
  for (const fs::path& part : path) {
    if (part == "..") return false;
  }
  return true;
}

std::string_view LastName(std::string_view type) {
  const size_t dot = type.rfind('.');
  return dot == std::string_view::npos ? type : type.substr(dot + 1);
}

Result<std::vector<fs::path>> ModuleFolders(const fs::path& folder) {
  std::vector<fs::path> folders;
  const fs::path file = folder / kModulesFile;
  if (!Exists(file)) return folders;
  GRAFT_ASSIGN_OR_RETURN(const auto modules, JsonDocument::Read(file));
  if (!modules->root().IsArray()) return modules->root().Fail("must be a list of modules");
  for (size_t i = 0; i < modules->root().size(); ++i) {
    const JsonValue module = modules->root().at(i);
    GRAFT_ASSIGN_OR_RETURN(const std::string type, module.GetString("type"));
    GRAFT_ASSIGN_OR_RETURN(const std::string path, module.GetString("path", ""));
    if (!IsBelow(path)) return module.Find("path").Fail("must lie in the model's folder");
    if (!path.empty() && LastName(type) != "Transformer") folders.emplace_back(path);
  }
  return folders;
}

}  // namespace graft::converter
