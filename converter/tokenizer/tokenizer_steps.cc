// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_steps.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "converter/tokenizer/regex_dialect.h"
#include "converter/tokenizer/tokenizer_components.h"
#include "schema/byte_level.h"
#include "schema/generated/tokenizer_generated.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using flatbuffers::FlatBufferBuilder;

// The splitting rule that ByteLevel brings along: GPT-2's.
constexpr char kByteLevelPattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

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

Result<std::string> ReadSomeContent(const JsonValue& component, const char* key) {
  GRAFT_ASSIGN_OR_RETURN(std::string content, ReadContent(component, key));
  if (content.empty()) return component.Find(key).Fail("must not be empty");
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
  if (type == "BertPreTokenizer") {
    result.steps.push_back(fb::CreatePreTokenizerStep(builder, fb::PreTokenizerKind::BertWords));
    return OkStatus();
  }
  if (type == "CharDelimiterSplit") {
    GRAFT_ASSIGN_OR_RETURN(const std::string delimiter, ReadSomeContent(component, "delimiter"));
    result.steps.push_back(fb::CreatePreTokenizerStep(builder, fb::PreTokenizerKind::Split,
                                                      builder.CreateString(delimiter)));
    return OkStatus();
  }
  if (type == "Metaspace") {
    GRAFT_ASSIGN_OR_RETURN(const std::string replacement,
                           ReadSomeContent(component, "replacement"));
    GRAFT_ASSIGN_OR_RETURN(const fb::PrependScheme scheme, ReadPrependScheme(component));
    GRAFT_ASSIGN_OR_RETURN(const bool split, component.GetBool("split", true));
    result.steps.push_back(fb::CreatePreTokenizerStep(
        builder, fb::PreTokenizerKind::Metaspace, 0, false, fb::SplitBehavior::Removed, false,
        builder.CreateString(replacement), scheme, split));
    return OkStatus();
  }
  return UnknownType(component, "pre-tokenizer", type);
}

/// BertNormalizer's four settings, each a step of its own.
Status AppendBertNormalizer(FlatBufferBuilder& builder, StepList<fb::NormalizerStep>& steps,
                            const JsonValue& component) {
  GRAFT_ASSIGN_OR_RETURN(const bool clean_text, component.GetBool("clean_text", true));
  GRAFT_ASSIGN_OR_RETURN(const bool ideographs, component.GetBool("handle_chinese_chars", true));
  GRAFT_ASSIGN_OR_RETURN(const bool lowercase, component.GetBool("lowercase", true));
  GRAFT_ASSIGN_OR_RETURN(const bool strip_accents, component.GetBool("strip_accents", lowercase));
  const auto append = [&](fb::NormalizerKind kind) {
    steps.push_back(fb::CreateNormalizerStep(builder, kind));
  };
  if (clean_text) append(fb::NormalizerKind::CleanText);
  if (ideographs) append(fb::NormalizerKind::SpaceIdeographs);
  if (strip_accents) {
    append(fb::NormalizerKind::Nfd);
    steps.push_back(fb::CreateNormalizerStep(builder, fb::NormalizerKind::DropMarks, 0, 0, false,
                                             false, false, true));
  }
  if (lowercase) append(fb::NormalizerKind::Lowercase);
  return OkStatus();
}

/// The bytes of a charsmap, which is in Base64 (RFC 4648).
Result<std::vector<uint8_t>> ReadCharsmap(const JsonValue& component) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, component.GetString("precompiled_charsmap", ""));
  const JsonValue where = component.Find("precompiled_charsmap");
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0;
  uint32_t count = 0;
  std::string_view digits = text;
  while (digits.ends_with('=')) digits.remove_suffix(1);
  for (const char c : digits) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return where.Fail("is not Base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<uint8_t>(bits >> count));
  }
  if (bytes.size() > schema::kMaxCharsmapBytes) return where.Fail("is too large");
  return bytes;
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
  if (type == "BertNormalizer") return AppendBertNormalizer(builder, steps, component);
  if (type == "StripAccents") return append(fb::NormalizerKind::DropMarks);
  if (type == "Precompiled") {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadCharsmap(component));
    if (bytes.empty()) return OkStatus();
    const auto charsmap = builder.CreateVector(bytes);
    fb::NormalizerStepBuilder step(builder);
    step.add_kind(fb::NormalizerKind::Charsmap);
    step.add_charsmap(charsmap);
    steps.push_back(step.Finish());
    return OkStatus();
  }
  return UnknownType(component, "normalizer", type);
}

Status AppendReplace(FlatBufferBuilder& builder, DecoderSteps& result, const JsonValue& component) {
  GRAFT_ASSIGN_OR_RETURN(const Pattern pattern, ReadPattern(component));
  GRAFT_ASSIGN_OR_RETURN(const std::string content, ReadContent(component, "content"));
  result.is_plain = result.is_plain && !pattern.is_regex;
  result.replaced.push_back(pattern.text);
  const auto pattern_offset = builder.CreateString(pattern.text);
  result.steps.push_back(fb::CreateDecoderStep(builder, fb::DecoderKind::Replace, pattern_offset,
                                               builder.CreateString(content), 0, 0,
                                               fb::PrependScheme::Always, pattern.is_regex));
  return OkStatus();
}

Status AppendByteLevelDecoder(FlatBufferBuilder& builder, DecoderSteps& result,
                              const JsonValue& component) {
  if (result.is_byte_level || !result.is_plain) {
    return component.Fail("is a ByteLevel decoder after another", StatusCode::kUnsupported);
  }
  if (result.steps.size() >= schema::kMaxTokenizerSteps) {
    return component.Fail("is decoder " + std::to_string(result.steps.size() + 1) +
                              ", more than the " + std::to_string(schema::kMaxTokenizerSteps) +
                              " there may be",
                          StatusCode::kUnsupported);
  }
  result.steps.clear();  // CheckLeftOut tells whether they may be
  result.is_byte_level = true;
  result.is_fused = true;
  result.steps.push_back(fb::CreateDecoderStep(builder, fb::DecoderKind::ByteLevel));
  return OkStatus();
}

Status AppendDecoder(FlatBufferBuilder& builder, DecoderSteps& result, const JsonValue& component,
                     const std::string& type) {
  const auto append = [&](fb::DecoderKind kind) {
    result.steps.push_back(fb::CreateDecoderStep(builder, kind));
    return OkStatus();
  };
  if (result.is_fused && (type == "ByteFallback" || type == "WordPiece")) {
    return component.Fail("is a " + type + " decoder after one that fuses tokens",
                          StatusCode::kUnsupported);
  }
  if (type == "ByteLevel") return AppendByteLevelDecoder(builder, result, component);
  if (type == "ByteFallback") {
    result.falls_back = true;
    return append(fb::DecoderKind::ByteFallback);
  }
  if (type == "Fuse") {
    result.is_fused = result.fuses = true;
    return append(fb::DecoderKind::Fuse);
  }
  if (type == "Replace") {
    return AppendReplace(builder, result, component);
  }
  result.is_plain = false;
  if (type == "Strip") {
    GRAFT_ASSIGN_OR_RETURN(const std::string content, ReadSomeContent(component, "content"));
    GRAFT_ASSIGN_OR_RETURN(const int64_t start,
                           component.GetIntIn("start", 0, schema::kMaxStrip, 0));
    GRAFT_ASSIGN_OR_RETURN(const int64_t stop, component.GetIntIn("stop", 0, schema::kMaxStrip, 0));
    result.steps.push_back(
        fb::CreateDecoderStep(builder, fb::DecoderKind::Strip, 0, builder.CreateString(content),
                              static_cast<uint32_t>(start), static_cast<uint32_t>(stop)));
    return OkStatus();
  }
  if (type == "Metaspace") {
    GRAFT_ASSIGN_OR_RETURN(const std::string replacement,
                           ReadSomeContent(component, "replacement"));
    GRAFT_ASSIGN_OR_RETURN(const fb::PrependScheme scheme, ReadPrependScheme(component));
    result.steps.push_back(fb::CreateDecoderStep(builder, fb::DecoderKind::Metaspace, 0,
                                                 builder.CreateString(replacement), 0, 0, scheme));
    return OkStatus();
  }
  if (type == "WordPiece") {
    GRAFT_ASSIGN_OR_RETURN(const std::string prefix, ReadSomeContent(component, "prefix"));
    GRAFT_ASSIGN_OR_RETURN(const bool cleanup, component.GetBool("cleanup", true));
    result.steps.push_back(fb::CreateDecoderStep(builder, fb::DecoderKind::WordPiece, 0,
                                                 builder.CreateString(prefix), 0, 0,
                                                 fb::PrependScheme::Always, false, cleanup));
    return OkStatus();
  }
  return UnknownType(component, "decoder", type);
}

}  // namespace

Result<StepList<fb::NormalizerStep>> LowerNormalizer(FlatBufferBuilder& builder,
                                                     const JsonValue& normalizer) {
  StepList<fb::NormalizerStep> steps;
  GRAFT_RETURN_IF_ERROR(ForEachComponent(normalizer, "normalizers",
                                         [&](const JsonValue& component, const std::string& type) {
                                           return AppendNormalizer(builder, steps, component, type);
                                         }));
  return steps;
}

Result<PreTokenizerSteps> LowerPreTokenizer(FlatBufferBuilder& builder,
                                            const JsonValue& pre_tokenizer) {
  PreTokenizerSteps result;
  GRAFT_RETURN_IF_ERROR(ForEachComponent(
      pre_tokenizer, "pretokenizers", [&](const JsonValue& component, const std::string& type) {
        return AppendPreTokenizer(builder, result, component, type);
      }));
  return result;
}

Result<DecoderSteps> LowerDecoder(FlatBufferBuilder& builder, const JsonValue& decoder) {
  DecoderSteps result;
  GRAFT_RETURN_IF_ERROR(ForEachComponent(decoder, "decoders",
                                         [&](const JsonValue& component, const std::string& type) {
                                           return AppendDecoder(builder, result, component, type);
                                         }));
  return result;
}

// A ByteLevel decoder behind one that fuses takes all text as it is where one character of it spells
// no byte.
Status CheckLeftOut(const DecoderSteps& steps, std::span<const std::string_view> tokens,
                    const JsonValue& decoder) {
  if (!steps.is_byte_level || !(steps.falls_back || steps.fuses || !steps.replaced.empty())) {
    return OkStatus();
  }
  const schema::ByteLevelSpelling spelling;
  for (const std::string_view token : tokens) {
    const bool is_byte = token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
    const bool is_replaced = std::any_of(
        steps.replaced.begin(), steps.replaced.end(),
        [&](const std::string& text) { return token.find(text) != std::string_view::npos; });
    if ((steps.falls_back && is_byte) || is_replaced || (steps.fuses && !spelling.Spells(token))) {
      return decoder.Fail("has a ByteLevel decoder after others, which change the token '" +
                              std::string(token) + "'",
                          StatusCode::kUnsupported);
    }
  }
  return OkStatus();
}

}  // namespace graft::converter
