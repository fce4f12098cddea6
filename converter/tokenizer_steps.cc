// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer_steps.h"

#include <functional>
#include <string>

#include "converter/regex_dialect.h"
#include "schema/generated/tokenizer_generated.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using flatbuffers::FlatBufferBuilder;

constexpr int kMaxNesting = 8;

// The splitting rule that ByteLevel brings along: GPT-2's.
constexpr char kByteLevelPattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Status UnknownType(const JsonValue& component, const char* what, const std::string& type) {
  return component.Fail(
      std::string("is a ") + what + " of type " + type + ", which graft does not know",
      StatusCode::kUnsupported);
}

/// Calls visit(component, type) for `component`, or for each element of `list_key` if it is a
/// Sequence.
Status ForEach(const JsonValue& component, const char* list_key, int depth,
               const std::function<Status(const JsonValue&, const std::string&)>& visit) {
  if (component.IsNull()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string type, component.GetString("type"));
  if (type != "Sequence") return visit(component, type);
  if (depth >= kMaxNesting) return component.Fail("is nested too deeply");
  GRAFT_ASSIGN_OR_RETURN(const JsonValue list, component.Get(list_key, JsonKind::kArray));
  for (size_t i = 0; i < list.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(ForEach(list.at(i), list_key, depth + 1, visit));
  }
  return OkStatus();
}

struct Pattern {
  std::string text;
  bool is_regex = false;
};

/// {"String": ...} or {"Regex": ...} in `component`.
Result<Pattern> ReadPattern(const JsonValue& component) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue pattern, component.Get("pattern", JsonKind::kObject));
  Pattern result;
  if (pattern.Has("String")) {
    GRAFT_ASSIGN_OR_RETURN(result.text, pattern.GetString("String"));
  } else {
    GRAFT_ASSIGN_OR_RETURN(const std::string source, pattern.GetString("Regex"));
    Result<std::string> translated = ToPcre2(source);
    if (!translated.ok()) {
      return pattern.Fail(translated.status().message(), translated.status().code());
    }
    result = {std::move(translated).value(), true};
  }
  if (result.text.empty()) return pattern.Fail("must not be empty");
  if (result.text.size() > schema::kMaxPatternBytes) return pattern.Fail("is too long a pattern");
  return result;
}

Result<std::string> ReadContent(const JsonValue& component, const char* key) {
  GRAFT_ASSIGN_OR_RETURN(std::string content, component.GetString(key));
  if (content.size() > schema::kMaxStepContentBytes) {
    return component.Find(key).Fail("is too long");
  }
  return content;
}

Result<fb::SplitBehavior> ReadBehavior(const JsonValue& component, const char* fallback) {
  GRAFT_ASSIGN_OR_RETURN(const std::string name, component.GetString("behavior", fallback));
  if (name == "Removed") return fb::SplitBehavior::Removed;
  if (name == "Isolated") return fb::SplitBehavior::Isolated;
  if (name == "MergedWithPrevious") return fb::SplitBehavior::MergedWithPrevious;
  if (name == "MergedWithNext") return fb::SplitBehavior::MergedWithNext;
  if (name == "Contiguous") return fb::SplitBehavior::Contiguous;
  return component.Find("behavior").Fail("is not a split behavior");
}

Result<fb::PrependScheme> ReadPrependScheme(const JsonValue& component) {
  GRAFT_ASSIGN_OR_RETURN(const bool add_prefix_space, component.GetBool("add_prefix_space", true));
  if (!add_prefix_space) return fb::PrependScheme::Never;
  GRAFT_ASSIGN_OR_RETURN(const std::string name, component.GetString("prepend_scheme", "always"));
  if (name == "always") return fb::PrependScheme::Always;
  if (name == "never") return fb::PrependScheme::Never;
  if (name == "first") return fb::PrependScheme::First;
  return component.Find("prepend_scheme").Fail("is not always, never or first");
}

Status AppendRegexSplit(FlatBufferBuilder& builder, PreTokenizerSteps& result,
                        const JsonValue& component, const char* source, fb::SplitBehavior behavior,
                        bool invert) {
  Result<std::string> pattern = ToPcre2(source);
  if (!pattern.ok()) return component.Fail(pattern.status().message(), pattern.status().code());
  result.steps.push_back(fb::CreatePreTokenizerStep(builder, fb::PreTokenizerKind::Split,
                                                    builder.CreateString(*pattern), true, behavior,
                                                    invert));
  return OkStatus();
}

Status AppendByteLevel(FlatBufferBuilder& builder, PreTokenizerSteps& result,
                       const JsonValue& component) {
  GRAFT_ASSIGN_OR_RETURN(const bool add_prefix_space, component.GetBool("add_prefix_space", true));
  GRAFT_ASSIGN_OR_RETURN(const bool use_regex, component.GetBool("use_regex", true));
  if (add_prefix_space) {
    result.steps.push_back(fb::CreatePreTokenizerStep(builder, fb::PreTokenizerKind::PrefixSpace));
  }
  result.is_byte_level = true;
  if (!use_regex) return OkStatus();
  return AppendRegexSplit(builder, result, component, kByteLevelPattern,
                          fb::SplitBehavior::Isolated, false);
}

Status AppendPreTokenizer(FlatBufferBuilder& builder, PreTokenizerSteps& result,
                          const JsonValue& component, const std::string& type) {
  if (result.is_byte_level) {
    // It would see the characters that stand for bytes rather than the text.
    return component.Fail("is a " + type + " after a ByteLevel pre-tokenizer",
                          StatusCode::kUnsupported);
  }
  if (type == "ByteLevel") return AppendByteLevel(builder, result, component);
  if (type == "Split") {
    GRAFT_ASSIGN_OR_RETURN(const Pattern pattern, ReadPattern(component));
    GRAFT_ASSIGN_OR_RETURN(const fb::SplitBehavior behavior, ReadBehavior(component, "Isolated"));
    GRAFT_ASSIGN_OR_RETURN(const bool invert, component.GetBool("invert", false));
    result.steps.push_back(fb::CreatePreTokenizerStep(builder, fb::PreTokenizerKind::Split,
                                                      builder.CreateString(pattern.text),
                                                      pattern.is_regex, behavior, invert));
    return OkStatus();
  }
  if (type == "Digits") {
    GRAFT_ASSIGN_OR_RETURN(const bool individual, component.GetBool("individual_digits", false));
    return AppendRegexSplit(builder, result, component, individual ? R"(\p{N})" : R"(\p{N}+)",
                            fb::SplitBehavior::Isolated, false);
  }
  if (type == "Punctuation") {
    GRAFT_ASSIGN_OR_RETURN(const fb::SplitBehavior behavior, ReadBehavior(component, "Isolated"));
    return AppendRegexSplit(builder, result, component, R"([!-\/:-@\[-`\{-~\p{P}])", behavior,
                            false);
  }
  if (type == "Whitespace") {
    // A set of its own: with the two joiners.
    return AppendRegexSplit(builder, result, component,
                            R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200C\u200D]+)"
                            R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200C\u200D\s]+)",
                            fb::SplitBehavior::Removed, true);
  }
  if (type == "WhitespaceSplit") {
    return AppendRegexSplit(builder, result, component, R"(\s)", fb::SplitBehavior::Removed, false);
  }
  if (type == "Metaspace") {
    GRAFT_ASSIGN_OR_RETURN(const std::string replacement, ReadContent(component, "replacement"));
    if (replacement.empty()) return component.Find("replacement").Fail("must not be empty");
    GRAFT_ASSIGN_OR_RETURN(const fb::PrependScheme scheme, ReadPrependScheme(component));
    GRAFT_ASSIGN_OR_RETURN(const bool split, component.GetBool("split", true));
    result.steps.push_back(fb::CreatePreTokenizerStep(
        builder, fb::PreTokenizerKind::Metaspace, 0, false, fb::SplitBehavior::Removed, false,
        builder.CreateString(replacement), scheme, split));
    return OkStatus();
  }
  return UnknownType(component, "pre-tokenizer", type);
}

Status AppendNormalizer(FlatBufferBuilder& builder, StepList<fb::NormalizerStep>& steps,
                        const JsonValue& component, const std::string& type) {
  const auto append = [&](fb::NormalizerKind kind) {
    steps.push_back(fb::CreateNormalizerStep(builder, kind));
    return OkStatus();
  };
  if (type == "NFC") return append(fb::NormalizerKind::Nfc);
  if (type == "NFD") return append(fb::NormalizerKind::Nfd);
  if (type == "NFKC") return append(fb::NormalizerKind::Nfkc);
  if (type == "NFKD") return append(fb::NormalizerKind::Nfkd);
  if (type == "Lowercase") return append(fb::NormalizerKind::Lowercase);
  if (type == "Prepend") {
    GRAFT_ASSIGN_OR_RETURN(const std::string content, ReadContent(component, "prepend"));
    steps.push_back(fb::CreateNormalizerStep(builder, fb::NormalizerKind::Prepend, 0,
                                             builder.CreateString(content)));
    return OkStatus();
  }
  if (type == "Replace") {
    GRAFT_ASSIGN_OR_RETURN(const Pattern pattern, ReadPattern(component));
    GRAFT_ASSIGN_OR_RETURN(const std::string content, ReadContent(component, "content"));
    const auto pattern_offset = builder.CreateString(pattern.text);
    steps.push_back(fb::CreateNormalizerStep(builder, fb::NormalizerKind::Replace, pattern_offset,
                                             builder.CreateString(content), pattern.is_regex));
    return OkStatus();
  }
  if (type == "Strip") {
    GRAFT_ASSIGN_OR_RETURN(const bool left, component.GetBool("strip_left", true));
    GRAFT_ASSIGN_OR_RETURN(const bool right, component.GetBool("strip_right", true));
    steps.push_back(
        fb::CreateNormalizerStep(builder, fb::NormalizerKind::Strip, 0, 0, false, left, right));
    return OkStatus();
  }
  return UnknownType(component, "normalizer", type);
}

Status AppendDecoder(FlatBufferBuilder& builder, DecoderSteps& result, const JsonValue& component,
                     const std::string& type) {
  const auto append = [&](fb::DecoderKind kind) {
    result.steps.push_back(fb::CreateDecoderStep(builder, kind));
    return OkStatus();
  };
  if (type == "ByteLevel") {
    if (!result.steps.empty()) {
      return component.Fail("is a ByteLevel decoder after another", StatusCode::kUnsupported);
    }
    result.is_byte_level = true;
    result.is_fused = true;
    return append(fb::DecoderKind::ByteLevel);
  }
  if (type == "ByteFallback") {
    if (result.is_fused) {
      return component.Fail("is a ByteFallback decoder after one that fuses tokens",
                            StatusCode::kUnsupported);
    }
    return append(fb::DecoderKind::ByteFallback);
  }
  if (type == "Fuse") {
    result.is_fused = true;
    return append(fb::DecoderKind::Fuse);
  }
  if (type == "Replace") {
    GRAFT_ASSIGN_OR_RETURN(const Pattern pattern, ReadPattern(component));
    GRAFT_ASSIGN_OR_RETURN(const std::string content, ReadContent(component, "content"));
    const auto pattern_offset = builder.CreateString(pattern.text);
    result.steps.push_back(fb::CreateDecoderStep(builder, fb::DecoderKind::Replace, pattern_offset,
                                                 builder.CreateString(content), 0, 0,
                                                 fb::PrependScheme::Always, pattern.is_regex));
    return OkStatus();
  }
  if (type == "Strip") {
    GRAFT_ASSIGN_OR_RETURN(const std::string content, ReadContent(component, "content"));
    if (content.empty()) return component.Find("content").Fail("must not be empty");
    GRAFT_ASSIGN_OR_RETURN(const int64_t start,
                           component.GetIntIn("start", 0, schema::kMaxStrip, 0));
    GRAFT_ASSIGN_OR_RETURN(const int64_t stop, component.GetIntIn("stop", 0, schema::kMaxStrip, 0));
    result.steps.push_back(
        fb::CreateDecoderStep(builder, fb::DecoderKind::Strip, 0, builder.CreateString(content),
                              static_cast<uint32_t>(start), static_cast<uint32_t>(stop)));
    return OkStatus();
  }
  if (type == "Metaspace") {
    GRAFT_ASSIGN_OR_RETURN(const std::string replacement, ReadContent(component, "replacement"));
    if (replacement.empty()) return component.Find("replacement").Fail("must not be empty");
    GRAFT_ASSIGN_OR_RETURN(const fb::PrependScheme scheme, ReadPrependScheme(component));
    result.steps.push_back(fb::CreateDecoderStep(builder, fb::DecoderKind::Metaspace, 0,
                                                 builder.CreateString(replacement), 0, 0, scheme));
    return OkStatus();
  }
  return UnknownType(component, "decoder", type);
}

Status AppendId(const JsonValue& where, int64_t id, std::vector<uint32_t>* ids) {
  if (id < 0 || id >= schema::kMaxTokens) {
    return where.Fail("is not a token id: " + std::to_string(id));
  }
  ids->push_back(static_cast<uint32_t>(id));
  return OkStatus();
}

/// TemplateProcessing's "single": special tokens around one sequence.
Status ReadTemplate(const JsonValue& component, SpecialIds* special) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue single, component.Get("single", JsonKind::kArray));
  SpecialIds mine;
  bool seen_sequence = false;
  for (size_t i = 0; i < single.size(); ++i) {
    const JsonValue piece = single.at(i);
    if (piece.Has("Sequence")) {
      if (seen_sequence) return piece.Fail("repeats the sequence", StatusCode::kUnsupported);
      seen_sequence = true;
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const JsonValue token, piece.Get("SpecialToken", JsonKind::kObject));
    GRAFT_ASSIGN_OR_RETURN(const std::string name, token.GetString("id"));
    const JsonValue definition = component.Find("special_tokens").Find(name);
    if (definition.IsNull()) return token.Fail("names a token that special_tokens does not have");
    GRAFT_ASSIGN_OR_RETURN(const JsonValue ids, definition.Get("ids", JsonKind::kArray));
    for (size_t k = 0; k < ids.size(); ++k) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t id, ids.at(k).AsInt());
      GRAFT_RETURN_IF_ERROR(AppendId(ids.at(k), id, seen_sequence ? &mine.suffix : &mine.prefix));
    }
  }
  if (!seen_sequence) return single.Fail("has no sequence", StatusCode::kUnsupported);
  special->prefix.insert(special->prefix.begin(), mine.prefix.begin(), mine.prefix.end());
  special->suffix.insert(special->suffix.end(), mine.suffix.begin(), mine.suffix.end());
  return OkStatus();
}

/// BertProcessing and RobertaProcessing: "cls" before, "sep" after, each ["text", id].
Status ReadClassifierMarks(const JsonValue& component, SpecialIds* special) {
  const auto read = [&](const char* key, std::vector<uint32_t>* ids) -> Status {
    GRAFT_ASSIGN_OR_RETURN(const JsonValue pair, component.Get(key, JsonKind::kArray));
    if (pair.size() != 2) return pair.Fail("must hold a token and its id");
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, pair.at(1).AsInt());
    return AppendId(pair.at(1), id, ids);
  };
  std::vector<uint32_t> first;
  GRAFT_RETURN_IF_ERROR(read("cls", &first));
  special->prefix.insert(special->prefix.begin(), first.begin(), first.end());
  return read("sep", &special->suffix);
}

}  // namespace

Result<StepList<fb::NormalizerStep>> LowerNormalizer(FlatBufferBuilder& builder,
                                                     const JsonValue& normalizer) {
  StepList<fb::NormalizerStep> steps;
  GRAFT_RETURN_IF_ERROR(ForEach(normalizer, "normalizers", 0,
                                [&](const JsonValue& component, const std::string& type) {
                                  return AppendNormalizer(builder, steps, component, type);
                                }));
  return steps;
}

Result<PreTokenizerSteps> LowerPreTokenizer(FlatBufferBuilder& builder,
                                            const JsonValue& pre_tokenizer) {
  PreTokenizerSteps result;
  GRAFT_RETURN_IF_ERROR(ForEach(pre_tokenizer, "pretokenizers", 0,
                                [&](const JsonValue& component, const std::string& type) {
                                  return AppendPreTokenizer(builder, result, component, type);
                                }));
  return result;
}

Result<DecoderSteps> LowerDecoder(FlatBufferBuilder& builder, const JsonValue& decoder) {
  DecoderSteps result;
  GRAFT_RETURN_IF_ERROR(
      ForEach(decoder, "decoders", 0, [&](const JsonValue& component, const std::string& type) {
        return AppendDecoder(builder, result, component, type);
      }));
  return result;
}

Result<SpecialIds> LowerPostProcessor(const JsonValue& post_processor) {
  SpecialIds special;
  GRAFT_RETURN_IF_ERROR(ForEach(post_processor, "processors", 0,
                                [&](const JsonValue& component, const std::string& type) -> Status {
                                  if (type == "ByteLevel")
                                    return OkStatus();  // concerns offsets only
                                  if (type == "TemplateProcessing")
                                    return ReadTemplate(component, &special);
                                  if (type == "BertProcessing" || type == "RobertaProcessing") {
                                    return ReadClassifierMarks(component, &special);
                                  }
                                  return UnknownType(component, "post-processor", type);
                                }));
  return special;
}

}  // namespace graft::converter
