// SPDX-License-Identifier: Apache-2.0
// Encoder-decoders are held to what keeps the two passes apart, and targets to the vocabulary.
#include <string>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/schema/refusal.h"
#include "tests/support/source_model.h"

namespace graft::schema {

using test::SourceModel;

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
    CHECK_SPOILED_REFUSED(SourceModel, "with a dimension of its own", m.same_symbol = true);
    CHECK_SPOILED_REFUSED(SourceModel, "takes nothing but that and tokens", m.extra_tensor = true);
    CHECK_SPOILED_REFUSED(SourceModel, "positions of a source need its ids",
                          m.positions_only = true;
                          m.keys_of_tokens = true; m.attends = false);
    CHECK_SPOILED_REFUSED(SourceModel, "nothing attends to it", m.attends = false);
    CHECK_SPOILED_REFUSED(SourceModel, "have different dimensions",
                          m.source_role = fb::InputRole::TokenTypes);
    CHECK_SPOILED_REFUSED(SourceModel, "to have as many rows", m.keys_of_tokens = true);
    CHECK_SPOILED_REFUSED(SourceModel, "neither causal nor windowed", m.causal = true);
    CHECK_SPOILED_REFUSED(SourceModel, "neither causal nor windowed", m.window = 4);
    CHECK_SPOILED_REFUSED(SourceModel, "to have as many rows", m.cache_of_source = false);
    CHECK_SPOILED_REFUSED(SourceModel, "neither for tokens nor for output rows",
                          m.output_of_source = true);
  }

  TEST_CASE("targets are held to vocabulary, languages and the sizes of sound") {
    CHECK_SPOILED_REFUSED(SourceModel, "needs a target", m.has_target = false);
    CHECK_SPOILED_REFUSED(SourceModel, "give f32 logits of [output rows, vocabulary]",
                          m.logits = 511);
    CHECK_SPOILED_REFUSED(SourceModel, "a target needs a text-generation graph",
                          m.task = fb::TaskKind::Tensors);
    CHECK_SPOILED_REFUSED(SourceModel, "starts with 0 tokens", m.start_tokens = {});
    CHECK_SPOILED_REFUSED(SourceModel, "start token 512 is outside", m.start_tokens = {512});
    CHECK_SPOILED_REFUSED(SourceModel, "suppressed token 700 is outside", m.suppressed = {3, 700});
    CHECK_SPOILED_REFUSED(SourceModel, "suppressed token 700 is outside",
                          m.first_suppressed = {700});
    CHECK_SPOILED_REFUSED(SourceModel, "forced end token -2 is outside", m.forced_end_token = -2);
    CHECK_SPOILED_REFUSED(SourceModel, "which need a place", m.languages = {{"de", 7}});
    CHECK_SPOILED_REFUSED(SourceModel, "which need a place",
                          m.language_place = fb::LanguagePlace::Target);
    CHECK_SPOILED_REFUSED(SourceModel, "language token 600 is outside", m.languages = {{"de", 600}};
                          m.language_place = fb::LanguagePlace::Target);
    CHECK_SPOILED_REFUSED(SourceModel, "fr is not among its languages", m.languages = {{"de", 7}};
                          m.language_place = fb::LanguagePlace::Target; m.target_language = "fr");
    CHECK_SPOILED_REFUSED(SourceModel, "language place 9", m.languages = {{"de", 7}};
                          m.language_place = static_cast<fb::LanguagePlace>(9));
    const auto sound = [](SourceModel& m) {
      m.has_audio = m.has_features = true;
      m.fft_samples = 32;
      m.hop_samples = 16;
    };
    CHECK_SPOILED_REFUSED(SourceModel, "must be f32 [bands, 1, frames]", sound(m); m.frames = 7);
    CHECK_SPOILED_REFUSED(SourceModel, "must be f32 [bands, 1, frames]", sound(m);
                          m.has_features = false);
    CHECK_SPOILED_REFUSED(SourceModel, "beyond what this build takes", sound(m);
                          m.fft_samples = 400);
    CHECK_SPOILED_REFUSED(SourceModel, "beyond what this build takes", sound(m); m.hop_samples = 0);
    CHECK_SPOILED_REFUSED(SourceModel, "beyond what this build takes", sound(m);
                          m.fft_samples = 33);
    CHECK_SPOILED_REFUSED(SourceModel, "audio token 512 is outside", sound(m);
                          m.timestamp_token = 512);
  }
}

}  // namespace graft::schema
