// SPDX-License-Identifier: Apache-2.0
// Rope frequencies of each type are those of transformers, and so is where they hold.
#include "converter/lower/rope.h"

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
namespace {

constexpr int64_t kHeadDim = 16;
constexpr double kTolerance = 1e-6;

Result<RopeFrequencies> Read(const std::string& members, const RopeDefaults& defaults = {}) {
  const auto document =
      JsonDocument::Parse("{\"max_position_embeddings\": 64, " + members + "}", "config.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  return ReadRope((*document)->root(), kHeadDim, defaults);
}

std::string FailureOf(const std::string& members) {
  const auto rope = Read(members);
  REQUIRE_FALSE(rope.ok());
  return std::string(rope.status().message());
}

struct Case {
  const char* members;  // of config.json
  std::vector<float> inverse;
  double magnitude;
  int64_t context;  // of a model that was trained for 64 positions
};

// transformers' ROPE_INIT_FUNCTIONS for these configurations of a Llama.
const Case kCases[] = {
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0,
        "original_max_position_embeddings": 16})",
     {1, 0.07905694f, 0.025f, 0.007905695f, 0.0025f, 0.0007905695f, 0.00025f, 7.905695e-05f},
     1.138629,
     64},
    {R"("rope_theta": 500.0, "rope_scaling": {"type": "yarn", "factor": 4.0,
        "original_max_position_embeddings": 32})",
     {1, 0.3448974f, 0.1057371f, 0.02431231f, 0.01118034f, 0.005141428f, 0.002364354f, 0.00108728f},
     1.138629,
     128},
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6,
        "original_max_position_embeddings": 16, "attention_factor": 1.25})",
     {1, 0.04445698f, 0.007905695f, 0.001405853f, 0.00025f, 4.445699e-05f, 7.905694e-06f,
      1.405853e-06f},
     1.25,
     64},
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000.0,
        "original_max_position_embeddings": 64, "beta_fast": 4, "beta_slow": 0.5})",
     {1, 0.4216965f, 0.133371f, 0.03749471f, 0.007905695f, 0.003333804f, 0.001405853f,
      0.0005928435f},
     1.138629,
     256},
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000.0,
        "original_max_position_embeddings": 16, "mscale": 1.0, "mscale_all_dim": 0.5})",
     {1, 0.2635603f, 0.04445698f, 0.01874735f, 0.007905695f, 0.003333804f, 0.001405853f,
      0.0005928435f},
     1.064822,
     64},
    // One of the two alone, or a zero, counts for nothing.
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000.0,
        "original_max_position_embeddings": 16, "mscale": 0.7, "mscale_all_dim": 0})",
     {1, 0.2635603f, 0.04445698f, 0.01874735f, 0.007905695f, 0.003333804f, 0.001405853f,
      0.0005928435f},
     1.138629,
     64},
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000.0,
        "original_max_position_embeddings": 40, "truncate": false, "beta_fast": 8})",
     {1, 0.2741594f, 0.05339618f, 0.01874735f, 0.007905695f, 0.003333804f, 0.001405853f,
      0.0005928435f},
     1.138629,
     160},
    // The original context, where the file has none, is the model's.
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 100.0,
        "beta_fast": 4})",
     {1, 0.5623413f, 0.2766993f, 0.133371f, 0.0625f, 0.02811706f, 0.01581139f, 0.008891397f},
     1.069315,
     128},
    // Beside the parameters it wins over the one among them.
    {R"("original_max_position_embeddings": 48,
        "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0,
        "original_max_position_embeddings": 16, "beta_fast": 4})",
     {1, 0.5623413f, 0.2371708f, 0.08891397f, 0.025f, 0.01405853f, 0.007905695f, 0.004445699f},
     1.138629,
     192},
    {R"("rope_parameters": {"rope_type": "yarn", "factor": null, "rope_theta": 100.0,
        "original_max_position_embeddings": 16, "beta_fast": 0, "beta_slow": null})",
     {1, 0.3514633f, 0.07905694f, 0.04445698f, 0.025f, 0.01405853f, 0.007905695f, 0.004445699f},
     1.138629,
     64},
    {R"("rope_parameters": {"rope_type": "yarn", "factor": 1.0, "rope_theta": 100.0,
        "original_max_position_embeddings": 16})",
     {1, 0.5623413f, 0.3162278f, 0.1778279f, 0.1f, 0.05623413f, 0.03162278f, 0.01778279f},
     1.0,
     64},
    // A rope_scaling that a user wrote into a file of transformers 5 wins, base and all.
    {R"("rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 4,
        "original_max_position_embeddings": 32})",
     {1, 0.1976424f, 0.025f, 0.007905695f, 0.0025f, 0.0007905695f, 0.00025f, 7.905695e-05f},
     1.138629,
     128},
    {R"("original_max_position_embeddings": 20,
        "rope_parameters": {"rope_type": "llama3", "factor": 4.0, "rope_theta": 100.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 40})",
     {0.7957747f, 0.251646f, 0.07957748f, 0.04445698f, 0.025f, 0.01405853f, 0.007905695f,
      0.004445699f},
     1.0,
     64},
};

TEST_SUITE("converter/rope") {
  TEST_CASE("yarn's frequencies, magnitude and context are those of transformers") {
    for (const Case& c : kCases) {
      CAPTURE(std::string(c.members));
      const auto rope = Read(c.members);
      REQUIRE_MESSAGE(rope.ok(), rope.status().message());
      REQUIRE(rope->inverse.size() == c.inverse.size());
      for (size_t i = 0; i < c.inverse.size(); ++i) {
        CHECK(rope->inverse[i] == doctest::Approx(c.inverse[i]).epsilon(kTolerance));
      }
      CHECK(rope->magnitude == doctest::Approx(c.magnitude).epsilon(kTolerance));
      CHECK(rope->positions == 0);
      CHECK(ContextOf(*rope, 64) == c.context);
    }
  }

  TEST_CASE("dynamic is the plain rope up to the trained context, and ends there") {
    const auto plain = Read(R"("rope_theta": 500.0)");
    for (const char* members :
         {R"("rope_theta": 500.0, "rope_scaling": {"type": "dynamic", "factor": 2.0})",
          R"("rope_parameters": {"rope_theta": 500.0, "rope_type": "dynamic", "factor": 4.0})",
          R"("rope_scaling": {"rope_theta": 500.0, "type": "dynamic", "factor": 1})"}) {
      const auto rope = Read(members);
      REQUIRE(rope.ok());
      CHECK(rope->inverse == plain->inverse);
      CHECK(rope->positions == 64);
      CHECK(ContextOf(*rope, 64) == 64);
    }
    CHECK(plain->positions == 0);
    const std::string missing = FailureOf(R"("rope_scaling": {"type": "dynamic"})");
    CHECK(Contains(missing, "'rope_scaling.factor' is missing"));
  }

  TEST_CASE("Phi-3's yarn is longrope, and its original context 4096 unless the file says so") {
    const RopeDefaults phi3 = {.original_context = 4096, .yarn_is_longrope = true};
    const auto rope = Read(R"("rope_scaling": {"type": "yarn", "short_factor":
                               [1, 1, 1, 1, 1, 1, 1, 2], "original_max_position_embeddings": 16})",
                           phi3);
    REQUIRE_MESSAGE(rope.ok(), rope.status().message());
    CHECK(rope->positions == 4096);
    CHECK(rope->inverse[7] == doctest::Approx(0.000158113883));
    CHECK(ContextOf(*rope, 131072) == 4096);
  }

  TEST_CASE("what cannot be followed is refused by name") {
    CHECK(Contains(
        FailureOf(R"("rope_scaling": {"type": "ntk", "factor": 2})"),
        "'rope_scaling.type' is \"ntk\"; this version knows default, proportional, linear, llama3, "
        "longrope, yarn and dynamic"));
    CHECK(Contains(FailureOf(R"("rope_parameters": {"full_attention": {"rope_type": "yarn"}})"),
                   "is a rope for some layers"));
    CHECK(Contains(FailureOf(R"("rope_scaling": {"type": "yarn", "factor": -1})"),
                   "'rope_scaling.factor' is -1; it must be positive"));
    CHECK(Contains(FailureOf(R"("rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": -2})"),
                   "'rope_scaling.beta_fast' is -2; it must be positive"));
    CHECK(Contains(FailureOf(R"("rope_parameters": {"type": "yarn", "rope_theta": 1})"),
                   "must not be 1"));
    CHECK(Contains(FailureOf(R"("rope_scaling": {"type": "yarn", "factor": 1e-300})"),
                   "rope_scaling"));
    CHECK(Contains(FailureOf(R"("rope_scaling": "yarn")"), "must be an object"));
  }

  TEST_CASE("the file says where dynamic frequencies end") {
    EditedModel model("architectures/qwen2_yarn");
    model.Edit("\"rope_type\": \"yarn\"", "\"rope_type\": \"dynamic\"");
    const LoadedModel converted = model.Convert();
    CHECK(converted.verified().facts().positions == 64);
    CHECK(converted.model().task()->context_tokens() == 64);
    const LoadedModel yarn = EditedModel("architectures/qwen2_yarn").Convert();
    CHECK(yarn.verified().facts().positions == 0);
    CHECK(yarn.model().task()->context_tokens() == 128);
  }
}

}  // namespace
}  // namespace graft::converter
