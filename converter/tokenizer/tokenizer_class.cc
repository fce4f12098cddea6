// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_class.h"

#include <algorithm>
#include <limits>

namespace graft::converter {
namespace {

struct Known {
  std::string_view name;
  TokenizerClass kind;
};
constexpr Known kClasses[] = {
    {"BertTokenizer", TokenizerClass::kBert},
    {"DistilBertTokenizer", TokenizerClass::kBert},
    {"ElectraTokenizer", TokenizerClass::kBert},
    {"MobileBertTokenizer", TokenizerClass::kBert},
    {"ConvBertTokenizer", TokenizerClass::kBert},
    {"SqueezeBertTokenizer", TokenizerClass::kBert},
    {"LxmertTokenizer", TokenizerClass::kBert},
    {"LayoutLMTokenizer", TokenizerClass::kBert},
    {"DPRQuestionEncoderTokenizer", TokenizerClass::kBert},
    {"DPRContextEncoderTokenizer", TokenizerClass::kBert},
    {"RobertaTokenizer", TokenizerClass::kRoberta},
    {"LongformerTokenizer", TokenizerClass::kRoberta},
    {"BartTokenizer", TokenizerClass::kRoberta},
    {"LEDTokenizer", TokenizerClass::kRoberta},
    {"XLMRobertaTokenizer", TokenizerClass::kXlmRoberta},
    {"CamembertTokenizer", TokenizerClass::kCamembert},
    {"GPT2Tokenizer", TokenizerClass::kGpt2},
    {"CodeGenTokenizer", TokenizerClass::kGpt2},
    {"GPTNeoXTokenizer", TokenizerClass::kGptNeoX},
    {"Qwen2Tokenizer", TokenizerClass::kQwen2},
    {"LlamaTokenizer", TokenizerClass::kLlama},
    {"GemmaTokenizer", TokenizerClass::kGemma},
    {"T5Tokenizer", TokenizerClass::kT5},
    {"AlbertTokenizer", TokenizerClass::kAlbert},
    {"DebertaTokenizer", TokenizerClass::kDeberta},
    {"DebertaV2Tokenizer", TokenizerClass::kDebertaV2},
    {"MPNetTokenizer", TokenizerClass::kMpNet},
};

/// The class that transformers registers for a model type.
struct Registered {
  std::string_view model_type;
  std::string_view name;
  bool overrules = false;  // whatever tokenizer_config.json says, which is known to be wrong
};
constexpr Registered kRegistered[] = {
    {"bert", "BertTokenizer"},
    {"distilbert", "BertTokenizer"},
    {"electra", "BertTokenizer"},
    {"nomic_bert", "BertTokenizer"},
    {"albert", "AlbertTokenizer"},
    {"deberta", "DebertaTokenizer"},
    {"deberta-v2", "DebertaV2Tokenizer"},
    {"mpnet", "MPNetTokenizer"},
    {"roformer", "RoFormerTokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
    {"camembert", "CamembertTokenizer"},
    {"gpt2", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"olmo2", "GPTNeoXTokenizer"},
    {"qwen2", "Qwen2Tokenizer", true},
    {"qwen3", "Qwen2Tokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"granite", "TokenizersBackend", true},
    {"mistral", "TokenizersBackend", true},
    {"phi3", "TokenizersBackend", true},
};

}  // namespace

Result<TokenizerContext> ContextOf(const JsonValue& config) {
  TokenizerContext context;
  GRAFT_ASSIGN_OR_RETURN(context.model_type, config.GetString("model_type", ""));
  GRAFT_ASSIGN_OR_RETURN(context.tokenizer_class, config.GetString("tokenizer_class", ""));
  GRAFT_ASSIGN_OR_RETURN(context.embedding_rows,
                         config.GetIntIn("vocab_size", 0, std::numeric_limits<int32_t>::max(), 0));
  return context;
}

Result<std::string> NamedClass(const JsonValue& settings, const TokenizerContext& context) {
  GRAFT_ASSIGN_OR_RETURN(std::string name,
                         settings.GetString("tokenizer_class", context.tokenizer_class));
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

TokenizerClass ClassByName(std::string_view name, TokenizerClass fallback) {
  const auto* known = std::find_if(std::begin(kClasses), std::end(kClasses),
                                   [name](const Known& entry) { return entry.name == name; });
  return known != std::end(kClasses) ? known->kind : fallback;
}

Result<TokenizerClass> ChooseClass(const JsonValue& settings, const TokenizerContext& context) {
  constexpr std::string_view kWordsOfJieba = "RoFormerTokenizer";
  GRAFT_ASSIGN_OR_RETURN(const std::string named, NamedClass(settings, context));
  const auto* registered =
      std::find_if(std::begin(kRegistered), std::end(kRegistered),
                   [&](const Registered& entry) { return entry.model_type == context.model_type; });
  const bool is_registered = registered != std::end(kRegistered);
  const bool takes_registered = is_registered && (named.empty() || registered->overrules);
  const std::string_view name = takes_registered ? registered->name : std::string_view(named);
  if (name == kWordsOfJieba) {
    return settings.Fail(
        "is of a RoFormerTokenizer, which finds Chinese words with jieba, and graft does not; "
        "convert the model without its tokenizer's files, and give it token ids",
        StatusCode::kUnsupported);
  }
  return ClassByName(name, TokenizerClass::kBackend);
}

}  // namespace graft::converter
