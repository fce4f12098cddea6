// SPDX-License-Identifier: Apache-2.0
// Expressions are those of the models' own tokenizer.json files.
#include "converter/gguf/pre_tokenizers.h"

#include <algorithm>
#include <iterator>

namespace graft::converter {
namespace {

constexpr const char* kNone = "null";
constexpr const char* kComposed = R"({"type":"NFC"})";

#define GRAFT_SPLIT(expression) \
  R"({"type":"Split","behavior":"Isolated","invert":false,"pattern":{"Regex":")" expression R"("}})"
#define GRAFT_BYTES \
  R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})"
#define GRAFT_SEQUENCE(steps) R"({"type":"Sequence","pretokenizers":[)" steps "]}"
#define GRAFT_SPLIT_BYTES(expression) GRAFT_SEQUENCE(GRAFT_SPLIT(expression) "," GRAFT_BYTES)

constexpr const char* kGpt2 =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
constexpr const char* kDigits = GRAFT_SEQUENCE(
    R"({"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,)"
    R"("trim_offsets":true,"use_regex":true})");
constexpr const char* kFalcon = GRAFT_SEQUENCE(
    R"({"type":"Punctuation","behavior":"Contiguous"},{"type":"ByteLevel","add_prefix_space":false,)"
    R"("trim_offsets":true,"use_regex":true},{"type":"Digits","individual_digits":false},)" GRAFT_SPLIT(
        "[0-9][0-9][0-9]"));
constexpr const char* kBloom = GRAFT_SPLIT_BYTES(R"( ?[^(\\s|.,!?…。，、।۔،)]+)");
constexpr const char* kLlama3 =
    GRAFT_SPLIT_BYTES(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
                      R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
constexpr const char* kQwen2 =
    GRAFT_SPLIT_BYTES(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|)"
                      R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
constexpr const char* kQwen35 = GRAFT_SPLIT_BYTES(
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|)"
    R"( ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
constexpr const char* kGpt4o = GRAFT_SPLIT_BYTES(
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|)"
    R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
constexpr const char* kTekken = GRAFT_SPLIT_BYTES(
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|)"
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|)"
    R"(\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
constexpr const char* kSeedCoder =
    GRAFT_SPLIT_BYTES(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}|)"
                      R"( ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
constexpr const char* kDeepSeek3 = GRAFT_SEQUENCE(
    GRAFT_SPLIT(R"(\\p{N}{1,3})") "," GRAFT_SPLIT("[一-龥぀-ゟ゠-ヿ]+") "," GRAFT_SPLIT(
        R"([!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|)"
        R"([^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|)"
        R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)") "," GRAFT_BYTES);
constexpr const char* kDeepSeekCoder =
    GRAFT_SEQUENCE(GRAFT_SPLIT(R"([\\r\\n])") "," GRAFT_SPLIT(R"(\\s?\\p{L}+)") "," GRAFT_SPLIT(
        R"(\\s?\\p{P}+)") "," GRAFT_SPLIT("[一-龥ࠀ-一가-퟿]+") R"(,{"type":"Digits","individual_digits":true},)" GRAFT_BYTES);

#undef GRAFT_SPLIT
#undef GRAFT_BYTES
#undef GRAFT_SEQUENCE
#undef GRAFT_SPLIT_BYTES

struct Named {
  std::string_view name;
  PreTokenizer steps;
};
constexpr Named kNamed[] = {
    {"gpt-2", {kNone, kGpt2, false}},
    {"phi-2", {kNone, kGpt2, false}},
    {"roberta-bpe", {kNone, kGpt2, false}},
    {"jais", {kNone, kGpt2, false}},
    {"trillion", {kNone, kGpt2, false}},
    {"granite-docling", {kNone, kGpt2, false}},
    {"exaone4", {kNone, kGpt2, false}},
    {"mpt", {kComposed, kGpt2, false}},
    {"modern-bert", {kComposed, kGpt2, false}},
    {"olmo", {kComposed, kGpt2, false}},
    {"smollm", {kNone, kDigits, false}},
    {"starcoder", {kNone, kDigits, false}},
    {"refact", {kNone, kDigits, false}},
    {"codeshell", {kNone, kDigits, false}},
    {"minerva-7b", {kNone, kDigits, false}},
    {"command-r", {kComposed, kDigits, false}},
    {"falcon", {kNone, kFalcon, false}},
    {"bloom", {kNone, kBloom, false}},
    {"llama3", {kNone, kLlama3, true}},
    {"llama-v3", {kNone, kLlama3, true}},
    {"llama-bpe", {kNone, kLlama3, true}},
    {"falcon3", {kNone, kLlama3, true}},
    {"falcon-h1", {kNone, kLlama3, true}},
    {"midm-2.0", {kNone, kLlama3, true}},
    {"lfm2", {kNone, kLlama3, true}},
    {"dbrx", {kNone, kLlama3, false}},
    {"smaug-bpe", {kNone, kLlama3, false}},
    {"glm4", {kNone, kLlama3, false}},
    {"chatglm-bpe", {kNone, kLlama3, false}},
    {"qwen2", {kComposed, kQwen2, false}},
    {"deepseek-r1-qwen", {kComposed, kQwen2, false}},
    {"megrez", {kComposed, kQwen2, false}},
    {"stablelm2", {kComposed, kQwen2, false}},
    {"qwen35", {kComposed, kQwen35, false}},
    {"gpt-4o", {kNone, kGpt4o, false}},
    {"llama4", {kNone, kGpt4o, false}},
    {"tekken", {kNone, kTekken, true}},
    {"pixtral", {kNone, kTekken, true}},
    {"seed-coder", {kNone, kSeedCoder, false}},
    {"deepseek-v3", {kNone, kDeepSeek3, false}},
    {"hunyuan-dense", {kNone, kDeepSeek3, false}},
    {"deepseek-coder", {kNone, kDeepSeekCoder, false}},
};

}  // namespace

const PreTokenizer* FindPreTokenizer(std::string_view name, std::string_view architecture) {
  if (name.empty() || name == "default") {
    if (architecture == "gpt2") name = "gpt-2";
    if (architecture == "gptneox" || architecture.starts_with("mamba")) name = "olmo";
    if (architecture == "falcon" || architecture == "bloom" || architecture == "mpt")
      name = architecture;
    if (architecture == "qwen2" || architecture == "qwen3") name = "qwen2";
    if (architecture == "qwen2moe" || architecture == "qwen3moe") name = "qwen2";
    if (architecture == "bert") name = "roberta-bpe";
  }
  const auto* found = std::find_if(std::begin(kNamed), std::end(kNamed),
                                   [name](const Named& entry) { return entry.name == name; });
  return found != std::end(kNamed) ? &found->steps : nullptr;
}

}  // namespace graft::converter
