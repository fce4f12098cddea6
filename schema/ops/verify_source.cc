// SPDX-License-Identifier: Apache-2.0
#include "schema/ops/verify_source.h"

#include <cinttypes>
#include <cstdint>
#include <string_view>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"

namespace graft::schema {
namespace {

constexpr uint32_t kMaxStartTokens = 64;
constexpr uint32_t kMaxSuppressed = 1 << 20;
constexpr uint32_t kMaxLanguages = 4096;
constexpr uint32_t kMaxLanguageBytes = 64;
// As far beyond real ones as those of op_checker.h.
constexpr uint32_t kMaxSampleRate = 1 << 20;
constexpr uint32_t kMaxFftSamples = 1 << 13;
constexpr uint32_t kMaxMels = 1 << 10;
constexpr uint32_t kMaxFrames = 1 << 16;
constexpr uint32_t kMaxOddPart = 255;  // of a transform, which is computed number by number

uint32_t OddPartOf(uint32_t number) {
  while (number > 0 && number % 2 == 0) number /= 2;
  return number;
}

class TargetChecker {
 public:
  TargetChecker(const fb::Model& model, const GraphFacts& facts)
      : target_(*model.task()->target()), facts_(facts) {}

  Status Check() const {
    const uint32_t starts = target_.start_tokens()->size();
    if (starts < 1 || starts > kMaxStartTokens) {
      return Error(StatusCode::kCorrupt, "the target starts with %u tokens; 1 to %u are possible",
                   starts, kMaxStartTokens);
    }
    GRAFT_RETURN_IF_ERROR(CheckTokens(target_.start_tokens(), "start"));
    GRAFT_RETURN_IF_ERROR(CheckTokens(target_.suppressed_tokens(), "suppressed"));
    GRAFT_RETURN_IF_ERROR(CheckTokens(target_.first_suppressed_tokens(), "suppressed"));
    if (target_.forced_end_token() != -1)
      GRAFT_RETURN_IF_ERROR(CheckToken(target_.forced_end_token(), "forced end"));
    GRAFT_RETURN_IF_ERROR(CheckLanguages());
    return target_.audio() == nullptr ? OkStatus() : CheckAudio(*target_.audio());
  }

 private:
  Status CheckTokens(const flatbuffers::Vector<uint32_t>* tokens, const char* what) const {
    if (tokens == nullptr) return OkStatus();
    if (tokens->size() > kMaxSuppressed) {
      return Error(StatusCode::kCorrupt, "the target has %u %s tokens; at most %u are allowed",
                   tokens->size(), what, kMaxSuppressed);
    }
    for (const uint32_t token : *tokens) GRAFT_RETURN_IF_ERROR(CheckToken(token, what));
    return OkStatus();
  }

  Status CheckToken(int64_t token, const char* what) const {
    if (token >= 0 && static_cast<uint64_t>(token) < facts_.vocabulary) return OkStatus();
    return Error(StatusCode::kCorrupt,
                 "the target's %s token %" PRId64 " is outside the vocabulary of %" PRIu64, what,
                 token, facts_.vocabulary);
  }

  bool HasLanguage(std::string_view language) const {
    if (target_.languages() == nullptr) return false;
    for (const fb::LanguageToken* known : *target_.languages()) {
      if (known->language()->string_view() == language) return true;
    }
    return false;
  }

  Status CheckLanguages() const {
    if (target_.language_place() > fb::LanguagePlace::MAX) {
      return Error(StatusCode::kUnsupported, "language place %u, which this build does not know",
                   static_cast<unsigned>(target_.language_place()));
    }
    const uint32_t count = target_.languages() == nullptr ? 0 : target_.languages()->size();
    if (count > kMaxLanguages ||
        (count == 0) != (target_.language_place() == fb::LanguagePlace::Nowhere)) {
      return Error(StatusCode::kCorrupt,
                   "the target has %u languages, which need a place; at most %u are allowed", count,
                   kMaxLanguages);
    }
    const bool in_source = target_.language_place() == fb::LanguagePlace::SourceAndTarget;
    for (uint32_t i = 0; i < count; ++i) {
      const fb::LanguageToken& known = *target_.languages()->Get(i);
      if (known.language()->size() > kMaxLanguageBytes)
        return Error(StatusCode::kCorrupt, "language %u has a name of more than %u bytes", i,
                     kMaxLanguageBytes);
      GRAFT_RETURN_IF_ERROR(CheckToken(known.token(), "language"));
      if (in_source && known.token() >= facts_.source_vocabulary)
        return Error(StatusCode::kCorrupt, "language token %u is outside the source's vocabulary",
                     known.token());
    }
    for (const auto* usual : {target_.source_language(), target_.target_language()}) {
      if (usual == nullptr || HasLanguage(usual->string_view())) continue;
      return Error(StatusCode::kCorrupt, "the target's language %.64s is not among its languages",
                   usual->c_str());
    }
    return OkStatus();
  }

  Status CheckAudio(const fb::AudioInput& audio) const {
    if (audio.sample_rate() < 1 || audio.sample_rate() > kMaxSampleRate ||
        audio.fft_samples() < 2 || audio.fft_samples() > kMaxFftSamples ||
        audio.fft_samples() % 2 != 0 || audio.hop_samples() < 1 ||
        audio.hop_samples() > audio.fft_samples() || audio.mels() < 1 || audio.mels() > kMaxMels ||
        audio.frames() < 1 || audio.frames() > kMaxFrames ||
        OddPartOf(audio.fft_samples()) > kMaxOddPart ||
        uint64_t{audio.frames()} * audio.hop_samples() < audio.fft_samples()) {
      return Error(
          StatusCode::kCorrupt,
          "the audio input is %u Hz in windows of %u frames of %u samples, each a transform "
          "of %u, in %u bands: beyond what this build takes",
          audio.sample_rate(), audio.frames(), audio.hop_samples(), audio.fft_samples(),
          audio.mels());
    }
    for (const int32_t token : {audio.transcribe_token(), audio.translate_token(),
                                audio.no_timestamps_token(), audio.first_timestamp_token()}) {
      if (token != -1) GRAFT_RETURN_IF_ERROR(CheckToken(token, "audio"));
    }
    const fb::Value* features = facts_.source_features;
    const int64_t expected[] = {audio.mels(), 1, audio.frames()};
    bool fits = features != nullptr && features->shape()->size() == 3;
    for (uint32_t i = 0; fits && i < 3; ++i)
      fits = features->shape()->Get(i)->size() == expected[i];
    if (fits) return OkStatus();
    return Error(StatusCode::kCorrupt,
                 "the audio input is %u bands of %u frames; the graph's features must be f32 "
                 "[bands, 1, frames]",
                 audio.mels(), audio.frames());
  }

  const fb::TargetText& target_;
  const GraphFacts& facts_;
};

}  // namespace

bool AttendsToSource(const OpChecker& op, const fb::Attention& attention) {
  const Result<const fb::KvCache*> cache = op.CacheAt(attention.kv_cache());
  return cache.ok() && (*cache)->of_source();
}

Status CheckCrossAttention(OpChecker& op, const fb::Attention& attention) {
  GraphFacts& facts = op.facts();
  if (!facts.has_source())
    return op.OpError("uses a kv_cache of the source, which the graph has none of");
  if (op.input_count() != 3 || attention.causal() || attention.window() != 0 ||
      attention.alibi_slopes() != -1 || attention.position_bias() != -1) {
    return op.OpError(
        "attends to the source, and can be neither causal nor windowed nor have positions");
  }
  GRAFT_RETURN_IF_ERROR(op.ExpectTokenRows());
  GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(1), op.Input(2)));
  if (facts.source_ids != nullptr) return op.ExpectSameRows(op.Input(1), *facts.source_ids);
  const fb::Dimension& rows = *op.Input(1).shape()->Get(0);
  const auto count = static_cast<uint64_t>(rows.size());
  if (rows.symbol() >= 0 || count > kMaxSourceRows ||
      (facts.source_rows != 0 && facts.source_rows != count)) {
    return op.OpError(
        "needs %.100s to have a fixed number of rows, the same as all that attend to "
        "the source, at most %" PRIu64,
        op.Input(1).name()->c_str(), kMaxSourceRows);
  }
  facts.source_rows = count;
  return OkStatus();
}

Status CheckTarget(const fb::Model& model, const GraphFacts& facts) {
  const bool generates = model.task()->kind() == fb::TaskKind::TextGeneration;
  if (model.task()->target() == nullptr) {
    if (!generates || !facts.has_source()) return OkStatus();
    return Error(StatusCode::kCorrupt, "a text-generation graph with a source needs a target");
  }
  if (!generates || !facts.has_source())
    return Error(StatusCode::kCorrupt, "a target needs a text-generation graph with a source");
  return TargetChecker(model, facts).Check();
}

}  // namespace graft::schema
