// SPDX-License-Identifier: Apache-2.0
// Converting a base with an adapter is converting what `merge` writes: layers, vocabulary and
// tokenizer included.
#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "converter/merge/merge_checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

constexpr StoredFormat kF32{StorageKind::kFloat32};
constexpr StoredFormat kInt4{StorageKind::kInt4Block, 32};
constexpr const char* kLora = "base_model.model.model.layers.";

void CheckSameModel(const std::filesystem::path& a, const std::filesystem::path& b) {
  const LoadedModel first(a);
  const LoadedModel second(b);
  REQUIRE(first.model().tensors()->size() == second.model().tensors()->size());
  for (uint32_t i = 0; i < first.model().tensors()->size(); ++i) {
    const schema::fb::Tensor& x = *first.model().tensors()->Get(i);
    const schema::fb::Tensor& y = *second.model().tensors()->Get(i);
    CHECK(x.name()->str() == y.name()->str());
    CHECK(std::ranges::equal(*x.shape(), *y.shape()));
    CHECK(std::ranges::equal(first.verified().tensor_bytes(x).data,
                             second.verified().tensor_bytes(y).data));
  }
  CHECK(first.model().graph()->ops()->size() == second.model().graph()->ops()->size());
  const auto tokens = [](const LoadedModel& model) {
    return model.model().tokenizer() == nullptr
               ? 0u
               : model.model().tokenizer()->token_offsets()->size();
  };
  CHECK(tokens(first) == tokens(second));
}

// Converts base and adapter at once, and what merging wrote; both files must hold one model.
void ConvertBothWays(const TemporaryFolder& work, const std::filesystem::path& base,
                     const std::filesystem::path& adapter) {
  ConvertRequest at_once{base, adapter, kF32, work / "at_once.graft"};
  const auto converted = ConvertModel(at_once);
  REQUIRE_MESSAGE(converted.ok(), converted.status().message());
  MergeRequest merge;
  merge.base = base;
  merge.adapters = {{adapter, 1}};
  merge.output = work / "merged";
  merge.dtype = DType::kFloat32;
  const auto merged = MergeCheckpoint(merge);
  REQUIRE_MESSAGE(merged.ok(), merged.status().message());
  ConvertRequest after{work / "merged", {}, kF32, work / "after.graft"};
  const auto second = ConvertModel(after);
  REQUIRE_MESSAGE(second.ok(), second.status().message());
  CheckSameModel(work / "at_once.graft", work / "after.graft");
}

std::string ConvertFault(const std::filesystem::path& base, const std::filesystem::path& adapter,
                         const std::filesystem::path& output) {
  const auto outcome = ConvertModel({base, adapter, kF32, output});
  CHECK_FALSE(std::filesystem::exists(output));
  return outcome.ok() ? "" : std::string(outcome.status().message());
}

bool Says(const std::string& message, std::initializer_list<const char*> words) {
  return std::all_of(words.begin(), words.end(),
                     [&](const char* word) { return message.find(word) != std::string::npos; });
}

// The base's tokenizer with one token more.
void WriteGrownTokenizer(const std::filesystem::path& folder, const char* token) {
  std::filesystem::copy_file(TestData("tales") / "base" / "tokenizer.json",
                             folder / "tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  EditFile(folder / "tokenizer.json", "\"special\": true\n    }\n  ]",
           std::string("\"special\": true\n    },\n    {\"id\": 2048, \"content\": \"") + token +
               "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
               "\"normalized\": false, \"special\": true}\n  ]");
}

SmallTensors QueryAdapter(int layer, int64_t width, int64_t rank) {
  const std::string module = kLora + std::to_string(layer) + ".self_attn.q_proj.";
  return {{module + "lora_A.weight", RandomTensor({rank, width}, 5)},
          {module + "lora_B.weight", RandomTensor({width, rank}, 6)}};
}

TEST_SUITE("converter/adapted_model") {
  TEST_CASE("an adapter that replicates layers gives a longer stack") {
    const TemporaryFolder work;
    WriteAdapter(work / "adapter", "LORA",
                 R"("r": 2, "target_modules": ["q_proj"], "layer_replication": [[0, 2], [1, 3]])",
                 QueryAdapter(3, 192, 2));
    ConvertBothWays(work, TestData("tales") / "base", work / "adapter");
    const LoadedModel model(work / "at_once.graft");
    CHECK(model.FindTensor("model.layers.3.self_attn.q_proj.weight") != nullptr);
    CHECK(model.FindTensor("model.layers.4.self_attn.q_proj.weight") == nullptr);
  }

  TEST_CASE("an adapter with resized embeddings brings them and its tokenizer") {
    const TemporaryFolder work;
    SmallTensors adapter = QueryAdapter(0, 192, 2);
    adapter["base_model.model.model.embed_tokens.weight"] = RandomTensor({2052, 192}, 9);
    WriteAdapter(work / "adapter", "LORA",
                 R"("r": 2, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"])",
                 adapter);
    WriteGrownTokenizer(work / "adapter", "<|new|>");
    ConvertBothWays(work, TestData("tales") / "base", work / "adapter");
    const LoadedModel model(work / "at_once.graft");
    CHECK(model.FindTensor("model.embed_tokens.weight")->shape()->Get(0) == 2052);
    CHECK(model.model().tokenizer()->token_offsets()->size() == 2050);
  }

  TEST_CASE("explains a tokenizer whose embeddings are missing") {
    const TemporaryFolder work;
    WriteAdapter(work / "adapter", "LORA", R"("r": 2, "target_modules": ["q_proj"])",
                 QueryAdapter(0, 192, 2));
    WriteGrownTokenizer(work / "adapter", "<|new|>");
    const std::string message =
        ConvertFault(TestData("tales") / "base", work / "adapter", work / "out.graft");
    CHECK_MESSAGE(Says(message, {"tokenizer.json", "2049 tokens", "2048 rows", "resized"}),
                  message);
  }

  TEST_CASE("refuses two adapters that bring different tokenizers") {
    const TemporaryFolder work;
    for (const char* name : {"a", "b"}) {
      WriteAdapter(work / name, "LORA", R"("r": 2, "target_modules": ["q_proj"])",
                   QueryAdapter(0, 192, 2));
      WriteGrownTokenizer(work / name, name);
    }
    auto base = Checkpoint::Open(TestData("tales") / "base");
    REQUIRE(base.ok());
    const AdapterSpec specs[] = {{work / "a", 0.5}, {work / "b", 0.5}};
    const auto merged = MergedSource::Open(std::move(base).value(), specs);
    CHECK(merged.status().code() == StatusCode::kMismatch);
    CHECK(Says(std::string(merged.status().message()), {"/a", "/b", "different tokenizers"}));
  }

  TEST_CASE("refuses an adapter that changes what the model does not use") {
    const TemporaryFolder work;
    CopyFolder(TestData("adapters") / "base_llama", work / "base");
    SmallTensors tensors;
    tensors["side.proj.weight"] = RandomTensor({6, 4}, 1);
    const auto base = Checkpoint::Open(work / "base");
    REQUIRE(base.ok());
    for (const TensorInfo& info : (*base)->tensors())
      tensors[info.name] = {info.shape, ReadAll(**base, info.name), info.dtype};
    WriteTensors(work / "base" / "model.safetensors", tensors);
    WriteAdapter(work / "adapter", "LORA", R"("r": 1, "target_modules": ["side.proj"])",
                 {{"base_model.model.side.proj.lora_A.weight", RandomTensor({1, 4}, 2)},
                  {"base_model.model.side.proj.lora_B.weight", RandomTensor({6, 1}, 3)}});
    const std::string message = ConvertFault(work / "base", work / "adapter", work / "out.graft");
    CHECK_MESSAGE(Says(message, {"side.proj.weight", "llama", "does not use"}), message);
  }

  TEST_CASE("keeps in int8 exactly the matrices that int4 would drown" *
            doctest::skip(test::kSomeOfAll)) {
    const TemporaryFolder work;
    ConvertRequest request{TestData("tales") / "base", TestData("tales") / "holmes", kInt4,
                           work / "plain.graft"};
    // A weaker adapter on some layers, so that some drown and some do not.
    CopyFolder(TestData("tales") / "holmes", work / "holmes");
    EditFile(work / "holmes" / "adapter_config.json", "\"alpha_pattern\": {}",
             R"("alpha_pattern": {"v_proj": 0.01, "layers.3.mlp.up_proj": 0.5, "k_proj": 400})");
    request.adapter = work / "holmes";
    const auto plain = ConvertModel(request);
    REQUIRE_MESSAGE(plain.ok(), plain.status().message());
    request.keep_delta = true;
    request.output = work / "kept.graft";
    const auto kept = ConvertModel(request);
    REQUIRE_MESSAGE(kept.ok(), kept.status().message());
    std::set<bool> seen;
    for (size_t i = 0; i < plain->layers.size(); ++i) {
      const LayerOutcome& before = plain->layers[i];
      const LayerOutcome& after = kept->layers[i];
      const bool drowns = before.adapted && before.measures.retained.NoiseRatio() > 1.0;
      if (before.adapted) seen.insert(drowns);
      CHECK(after.kept_delta == drowns);
      CHECK(after.format.kind == (drowns ? StorageKind::kInt8PerChannel : before.format.kind));
      if (drowns)
        CHECK(after.measures.retained.NoiseRatio() < before.measures.retained.NoiseRatio());
    }
    CHECK(seen.size() == 2);
    request.threads = 3;
    request.output = work / "again.graft";
    REQUIRE(ConvertModel(request).ok());
    CHECK(ReadBytes(work / "again.graft") == ReadBytes(work / "kept.graft"));
  }

  TEST_CASE("the file says how its weights came to be" * doctest::skip(test::kSomeOfAll)) {
    const TemporaryFolder work;
    ConvertRequest request{TestData("tales") / "base", TestData("tales") / "holmes", kF32,
                           work / "out.graft"};
    request.rules.combine = {CombineMethod::kTies, 0.25};
    request.rules.nf4_base = Nf4Options{true};
    REQUIRE(ConvertModel(request).ok());
    const LoadedModel model(work / "out.graft");
    CHECK(model.model().provenance()->combined_by()->str() == "ties 0.25");
    CHECK(model.model().provenance()->base_rounding()->str() == "nf4 double-quantized");
  }
}

}  // namespace
}  // namespace graft::converter
