// SPDX-License-Identifier: Apache-2.0
// Encoder-decoders are held to what keeps the two passes apart, and targets to the vocabulary.
#include <string>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/support/source_model.h"

namespace graft::schema {
namespace {

using test::SourceModel;

std::string MessageOf(const SourceModel& model) {
  const auto bytes = model.Build();
  const auto verified = Verify(bytes.span());
  return verified.ok() ? "" : std::string(verified.status().message());
}

#define CHECK_SOURCE_REFUSED(message, ...)             \
  do {                                                 \
    SourceModel m;                                     \
    __VA_ARGS__;                                       \
    const std::string refused = MessageOf(m);          \
    CAPTURE(refused);                                  \
    CHECK(refused.find(message) != std::string::npos); \
  } while (false)

}  // namespace

TEST_SUITE("schema/verify_source") {
  TEST_CASE("ids and features are sources, and facts say so") {
    const auto ids = SourceModel().Build();
    const auto of_ids = Verify(ids.span());
    REQUIRE_MESSAGE(of_ids.ok(), of_ids.status().message());
    CHECK(of_ids->facts().has_source());
    CHECK(of_ids->facts().source_vocabulary == 512);
    CHECK(of_ids->facts().source_rows == 0);
    SourceModel sound;
    sound.has_features = sound.has_audio = true;
    sound.fft_samples = 32;
    sound.hop_samples = 16;
    const auto features = sound.Build();
    const auto of_features = Verify(features.span());
    REQUIRE_MESSAGE(of_features.ok(), of_features.status().message());
    CHECK(of_features->facts().source_rows == 6);
  }

  TEST_CASE("graphs whose passes would not be two are refused") {
    CHECK_SOURCE_REFUSED("with a dimension of its own", m.same_symbol = true);
    CHECK_SOURCE_REFUSED("takes nothing but that and tokens", m.extra_tensor = true);
    CHECK_SOURCE_REFUSED("positions of a source need its ids", m.positions_only = true;
                         m.keys_of_tokens = true; m.attends = false);
    CHECK_SOURCE_REFUSED("nothing attends to it", m.attends = false);
    CHECK_SOURCE_REFUSED("have different dimensions", m.source_role = fb::InputRole::TokenTypes);
    CHECK_SOURCE_REFUSED("to have as many rows", m.keys_of_tokens = true);
    CHECK_SOURCE_REFUSED("neither causal nor windowed", m.causal = true);
    CHECK_SOURCE_REFUSED("neither causal nor windowed", m.window = 4);
    CHECK_SOURCE_REFUSED("to have as many rows", m.cache_of_source = false);
    CHECK_SOURCE_REFUSED("neither for tokens nor for output rows", m.output_of_source = true);
  }

  TEST_CASE("targets are held to vocabulary, languages and the sizes of sound") {
    CHECK_SOURCE_REFUSED("needs a target", m.has_target = false);
    CHECK_SOURCE_REFUSED("give f32 logits of [output rows, vocabulary]", m.logits = 511);
    CHECK_SOURCE_REFUSED("a target needs a text-generation graph", m.task = fb::TaskKind::Tensors);
    CHECK_SOURCE_REFUSED("starts with 0 tokens", m.start_tokens = {});
    CHECK_SOURCE_REFUSED("start token 512 is outside", m.start_tokens = {512});
    CHECK_SOURCE_REFUSED("suppressed token 700 is outside", m.suppressed = {3, 700});
    CHECK_SOURCE_REFUSED("suppressed token 700 is outside", m.first_suppressed = {700});
    CHECK_SOURCE_REFUSED("forced end token -2 is outside", m.forced_end_token = -2);
    CHECK_SOURCE_REFUSED("which need a place", m.languages = {{"de", 7}});
    CHECK_SOURCE_REFUSED("which need a place", m.language_place = fb::LanguagePlace::Target);
    CHECK_SOURCE_REFUSED("language token 600 is outside", m.languages = {{"de", 600}};
                         m.language_place = fb::LanguagePlace::Target);
    CHECK_SOURCE_REFUSED("fr is not among its languages", m.languages = {{"de", 7}};
                         m.language_place = fb::LanguagePlace::Target; m.target_language = "fr");
    CHECK_SOURCE_REFUSED("language place 9", m.languages = {{"de", 7}};
                         m.language_place = static_cast<fb::LanguagePlace>(9));
    const auto sound = [](SourceModel& m) {
      m.has_audio = m.has_features = true;
      m.fft_samples = 32;
      m.hop_samples = 16;
    };
    CHECK_SOURCE_REFUSED("must be f32 [bands, 1, frames]", sound(m); m.frames = 7);
    CHECK_SOURCE_REFUSED("must be f32 [bands, 1, frames]", sound(m); m.has_features = false);
    CHECK_SOURCE_REFUSED("beyond what this build takes", sound(m); m.fft_samples = 400);
    CHECK_SOURCE_REFUSED("beyond what this build takes", sound(m); m.hop_samples = 0);
    CHECK_SOURCE_REFUSED("beyond what this build takes", sound(m); m.fft_samples = 33);
    CHECK_SOURCE_REFUSED("audio token 512 is outside", sound(m); m.timestamp_token = 512);
  }
}

}  // namespace graft::schema
