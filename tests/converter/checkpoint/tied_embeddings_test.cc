// SPDX-License-Identifier: Apache-2.0
// Adapters on tied embeddings: which stay one matrix, which become two, and what is in each.
#include <doctest/doctest.h>

#include "converter/merge/merge_checkpoint.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/converter/merge/adapter_rewriter.h"

namespace graft::converter {
namespace {

constexpr const char* kInput = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr int64_t kTokens = 97, kWidth = 64;  // of base_llama_tied

struct Tie {
  TemporaryFolder folder;
  SmallTensors adapter;

  std::unique_ptr<MergedSource> Merged(std::string_view settings) {
    std::filesystem::remove_all(folder / "adapter");
    WriteAdapter(folder / "adapter", "LORA",
                 R"("r": 2, "task_type": "CAUSAL_LM", )" + std::string(settings), adapter);
    auto merged = Merge(TestData("adapters/base_llama_tied"), folder / "adapter");
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    return std::move(merged).value();
  }
};

// `matrix` with rows 5 and 96 taken from `rows`.
std::vector<double> WithTokens(std::vector<double> matrix, const SmallTensor& rows) {
  for (size_t i = 0; i < 64; ++i) {
    matrix[5 * 64 + i] = rows.values[i];
    matrix[96 * 64 + i] = rows.values[64 + i];
  }
  return matrix;
}

constexpr std::string_view kTrainedTokens =
    R"("trainable_token_indices": {"embed_tokens": [5, 96]})";

TEST_SUITE("converter/tied_embeddings") {
  TEST_CASE("trained tokens of a tied embedding leave it tied") {
    const TemporaryFolder folder;
    CopyFolder(TestData("adapters/base_llama_tied"), folder / "base");
    WriteAdapter(
        folder / "adapter", "LORA",
        R"("r": 4, "task_type": "CAUSAL_LM", "trainable_token_indices": {"embed_tokens": [96, 5]})",
        {{Key("model.embed_tokens.token_adapter.trainable_tokens_delta"),
          RandomTensor({2, 64}, 1)}});
    const auto merged = Merge(folder / "base", folder / "adapter");
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    CHECK_FALSE((*merged)->unties_embeddings());
    const std::vector<double> before = ReadAll((*merged)->base(), "model.embed_tokens.weight");
    const std::vector<double> after = ReadAll(**merged, "model.embed_tokens.weight", 7);
    const SmallTensor rows = RandomTensor({2, 64}, 1);
    for (size_t i = 0; i < after.size(); ++i) {
      const size_t row = i / 64;
      CHECK(after[i] == (row == 96  ? rows.values[i % 64]
                         : row == 5 ? rows.values[64 + i % 64]
                                    : before[i]));
    }
  }

  TEST_CASE("trained tokens of a vocabulary that grew are in the one matrix") {
    // PEFT saves what it wrapped on both sides, which is one matrix, and the rows once.
    const SmallTensor grown = RandomTensor({kTokens + 3, kWidth}, 2),
                      rows = RandomTensor({2, kWidth}, 1);
    Tie tie;
    tie.adapter = {{Key("model.embed_tokens.token_adapter.trainable_tokens_delta"), rows},
                   {Key("model.embed_tokens.token_adapter.base_layer.weight"), grown}};
    for (const bool both : {false, true}) {
      CAPTURE(both);
      if (both) tie.adapter[Key("lm_head.token_adapter.base_layer.weight")] = grown;
      const auto merged = tie.Merged(kTrainedTokens);
      CHECK_FALSE(merged->unties_embeddings());
      CHECK(merged->Find(kHead) == nullptr);
      CHECK(ReadAll(*merged, kInput) == WithTokens(grown.values, rows));
      CHECK(merged->config_changes().vocabulary_size == kTokens + 3);
    }
    // Two sides that differ are two matrices, and the tokens are in both.
    const SmallTensor other = RandomTensor({kTokens + 3, kWidth}, 3);
    tie.adapter[Key("lm_head.token_adapter.base_layer.weight")] = other;
    const auto merged = tie.Merged(kTrainedTokens);
    CHECK(merged->unties_embeddings());
    CHECK(ReadAll(*merged, kInput) == WithTokens(grown.values, rows));
    CHECK(ReadAll(*merged, kHead) == WithTokens(other.values, rows));
  }

  TEST_CASE("two sides saved alike stay one matrix") {
    const SmallTensor saved = RandomTensor({kTokens, kWidth}, 1);
    Tie tie;
    tie.adapter = {{Key(kInput), saved}, {Key(kHead), saved}};
    const std::string_view settings = R"("modules_to_save": ["embed_tokens", "lm_head"])";
    auto merged = tie.Merged(settings);
    CHECK_FALSE(merged->unties_embeddings());
    CHECK(merged->Find(kHead) == nullptr);
    CHECK(ReadAll(*merged, kInput) == saved.values);
    tie.adapter[Key(kHead)] = RandomTensor({kTokens, kWidth}, 2);
    merged = tie.Merged(settings);
    CHECK(merged->unties_embeddings());
    CHECK(ReadAll(*merged, kInput) == saved.values);
    CHECK(ReadAll(*merged, kHead) == tie.adapter[Key(kHead)].values);
  }

  TEST_CASE("ensure_weight_tying lets the head follow the input embedding, never the reverse") {
    const SmallTensor saved = RandomTensor({kTokens, kWidth}, 1);
    const std::string flag = ", \"ensure_weight_tying\": true";
    Tie tie;
    tie.adapter = {{Key(kInput), saved}};
    std::string settings = R"("modules_to_save": ["embed_tokens"])";
    auto merged = tie.Merged(settings + flag);
    CHECK_FALSE(merged->unties_embeddings());
    CHECK(merged->Find(kHead) == nullptr);
    CHECK(ReadAll(*merged, kInput) == saved.values);
    // Without it, the head stays what it was.
    merged = tie.Merged(settings);
    CHECK(merged->unties_embeddings());
    CHECK(ReadAll(*merged, kInput) == saved.values);
    CHECK(ReadAll(*merged, kHead) == ReadAll(merged->base(), kInput));

    // PEFT trains a head that is named alone by itself, whatever the flag says.
    tie.adapter = {{Key(kHead), saved}};
    settings = R"("modules_to_save": ["lm_head"])";
    merged = tie.Merged(settings + flag);
    CHECK(merged->unties_embeddings());
    CHECK(ReadAll(*merged, kHead) == saved.values);
    CHECK(ReadAll(*merged, kInput) == ReadAll(merged->base(), kInput));

    // For low-rank updates the flag holds since PEFT 0.19.
    tie.adapter = {{Key("model.embed_tokens.lora_embedding_A"), RandomTensor({2, kTokens}, 3)},
                   {Key("model.embed_tokens.lora_embedding_B"), RandomTensor({kWidth, 2}, 4)}};
    CHECK(tie.Merged("\"peft_version\": \"0.18.1\"" + flag)->unties_embeddings());
    tie.adapter[Key("model.embed_tokens.base_layer.weight")] = saved;
    CHECK(tie.Merged("\"peft_version\": \"0.18.1\"" + flag)->unties_embeddings());
    CHECK_FALSE(tie.Merged("\"peft_version\": \"0.19.0\"" + flag)->unties_embeddings());
  }

  TEST_CASE("the same low-rank update on both sides is one matrix") {
    const SmallTensor a = RandomTensor({2, kTokens}, 1), b = RandomTensor({kWidth, 2}, 2);
    Tie tie;
    tie.adapter = {{Key("model.embed_tokens.lora_embedding_A"), a},
                   {Key("model.embed_tokens.lora_embedding_B"), b}};
    const std::vector<double> input =
        ReadAll(*tie.Merged(R"("ensure_weight_tying": true)"), kInput);
    tie.adapter[Key("lm_head.lora_A.weight")] = Transposed(b);
    tie.adapter[Key("lm_head.lora_B.weight")] = Transposed(a);
    auto merged = tie.Merged("\"lora_alpha\": 8");
    CHECK_FALSE(merged->unties_embeddings());
    CHECK(ReadAll(*merged, kInput) == input);
    CHECK(merged->report().adapters[0].modules_merged == 2);
    merged = tie.Merged(R"("lora_alpha": 8, "alpha_pattern": {"lm_head": 4})");
    CHECK(merged->unties_embeddings());
    tie.adapter[Key("lm_head.lora_B.weight")].values[9] += 1;
    merged = tie.Merged(R"("ensure_weight_tying": true)");
    CHECK(merged->unties_embeddings());
    CHECK(ReadAll(*merged, kInput) == input);
    CHECK(ReadAll(*merged, kHead) != input);
  }

  TEST_CASE("a head that a second adapter unties keeps what the first taught the shared matrix") {
    const SmallTensor rows = RandomTensor({2, kWidth}, 1);
    Tie first, second;
    first.adapter = {{Key("model.embed_tokens.token_adapter.trainable_tokens_delta"), rows}};
    first.Merged(kTrainedTokens);
    second.adapter = {{Key("lm_head.lora_A.weight"), RandomTensor({2, kWidth}, 3)},
                      {Key("lm_head.lora_B.weight"), RandomTensor({kTokens, 2}, 4)}};
    const std::vector<double> alone = ReadAll(*second.Merged(R"("lora_alpha": 2)"), kHead);
    auto base = Checkpoint::Open(TestData("adapters/base_llama_tied"));
    REQUIRE(base.ok());
    const std::vector<double> before = ReadAll(**base, kInput);
    const AdapterSpec specs[] = {{first.folder / "adapter", 1}, {second.folder / "adapter", 1}};
    const auto both = MergedSource::Open(std::move(base).value(), specs);
    REQUIRE_MESSAGE(both.ok(), both.status().message());
    CHECK(ReadAll(**both, kInput) == WithTokens(before, rows));
    const std::vector<double> taught = WithTokens(before, rows);
    std::vector<double> expected = alone;
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += taught[i] - before[i];
    CHECK(Distance(ReadAll(**both, kHead), expected) < kSumTolerance);
  }

  TEST_CASE("a merged folder says of any family's tie what it stores, in inner settings too") {
    struct Names {
      const char* input;
      const char* head;
      const char* module;
    };
    struct Config {
      const char* text;
      int flags;  // how often it says that the two are not tied
    };
    const Config configs[] = {
        {R"({"text_config": {"tie_word_embeddings": true, "vocab_size": 6}})", 2},
        {R"({"tie_word_embeddings": true, "text_config": {"vocab_size": 6}})", 1},
        {R"({"model_type": "gemma3"})", 1},
    };
    for (const Names& names :
         {Names{"model.embed_tokens.weight", "lm_head.weight", "lm_head"},
          Names{"language_model.model.embed_tokens.weight", "language_model.lm_head.weight",
                "language_model.lm_head"},
          Names{"model.language_model.embed_tokens.weight", "lm_head.weight", "lm_head"},
          Names{"gpt_neox.embed_in.weight", "embed_out.weight", "embed_out"},
          Names{"transformer.wte.weight", "lm_head.weight", "lm_head"}}) {
      for (const Config& config : configs) {
        for (const bool stored : {false, true}) {
          CAPTURE(std::string(names.input) + ", " + config.text);
          const TemporaryFolder folder;
          std::filesystem::create_directories(folder / "base");
          SmallTensors base = {{names.input, RandomTensor({6, 4}, 1)}};
          if (stored) base[names.head] = base[names.input];
          WriteTensors(folder / "base" / "model.safetensors", base);
          WriteText(folder / "base" / "config.json", config.text);
          const std::string module(names.module);
          WriteAdapter(folder / "adapter", "LORA", R"("r": 2, "task_type": "CAUSAL_LM")",
                       {{Key(module + ".lora_A.weight"), RandomTensor({2, 4}, 2)},
                        {Key(module + ".lora_B.weight"), RandomTensor({6, 2}, 3)}});
          MergeRequest request;
          request.base = folder / "base";
          request.adapters = {{folder / "adapter"}};
          request.output = folder / "merged";
          const auto report = MergeCheckpoint(request);
          REQUIRE_MESSAGE(report.ok(), report.status().message());
          const auto merged = Checkpoint::Open(folder / "merged");
          REQUIRE(merged.ok());
          CHECK(ReadAll(**merged, names.input) == base[names.input].values);
          REQUIRE((*merged)->Find(names.head) != nullptr);
          CHECK(ReadAll(**merged, names.head) != base[names.input].values);
          const std::string written = ReadBytes(folder / "merged" / "config.json");
          CHECK(written.find("\"tie_word_embeddings\": true") == std::string::npos);
          int flags = 0;
          for (size_t at = 0;
               (at = written.find("\"tie_word_embeddings\": false", at)) != std::string::npos; ++at)
            ++flags;
          CHECK(flags == config.flags);
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::converter
