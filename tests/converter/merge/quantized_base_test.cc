// SPDX-License-Identifier: Apache-2.0
// Quantized bases converted and merged, held against the checkpoint of their numbers.
#include <filesystem>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "converter/merge/base_note.h"
#include "converter/merge/merge_checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr const char* kForms[] = {"llama_bnb_nf4", "llama_gptq", "llama_ct"};
constexpr std::string_view kExpected = "expected.";
constexpr const char* kQuery = "model.layers.0.self_attn.q_proj.weight";

// The checkpoint that the program itself would have dequantized the base to.
void WriteDequantized(const Checkpoint& base, const EditedModel& model) {
  SmallTensors plain;
  for (const TensorInfo& info : base.tensors()) {
    const std::string expected = std::string(kExpected) + info.name;
    if (info.name.starts_with(kExpected)) continue;
    const std::string_view source = base.Find(expected) != nullptr ? expected : info.name;
    const DType dtype = base.Find(expected) != nullptr ? DType::kFloat32 : info.dtype;
    plain[info.name] = {info.shape, ReadAll(base, source), dtype};
  }
  std::filesystem::remove(model.path() / "model.safetensors");
  WriteTensors(model.path() / "model.safetensors", plain);
}

void WriteSmallAdapter(const std::filesystem::path& folder, const std::string& settings = "") {
  WriteAdapter(folder, "LORA",
               R"("r": 2, "lora_alpha": 4, "target_modules": ["q_proj"])" + settings,
               {{Key("model.layers.0.self_attn.q_proj.lora_A.weight"), RandomTensor({2, 32}, 7)},
                {Key("model.layers.0.self_attn.q_proj.lora_B.weight"), RandomTensor({32, 2}, 8)}});
}

TEST_SUITE("converter/quantized_base") {
  TEST_CASE("a quantized base converts to the weights of the dequantized checkpoint") {
    for (const char* form : kForms) {
      CAPTURE(std::string(form));
      EditedModel packed("quantized/" + std::string(form));
      EditedModel plain("quantized/" + std::string(form));
      const auto base = Checkpoint::Open(packed.path());
      REQUIRE_MESSAGE(base.ok(), base.status().message());
      WriteDequantized(**base, plain);
      const LoadedModel one = packed.Convert();
      const LoadedModel other = plain.Convert();
      CHECK(one.model().provenance()->base_stored_as()->str() == (*base)->stored_as());
      CHECK(other.model().provenance()->base_stored_as() == nullptr);
      REQUIRE(one.model().tensors()->size() == other.model().tensors()->size());
      for (unsigned i = 0; i < one.model().tensors()->size(); ++i) {
        CHECK(*one.model().tensors()->Get(i)->content_hash() ==
              *other.model().tensors()->Get(i)->content_hash());
      }
    }
  }

  TEST_CASE("merging adds to the packed numbers and writes a plain checkpoint") {
    for (const char* form : kForms) {
      CAPTURE(std::string(form));
      const TemporaryFolder folder;
      CopyFolder(TestData("quantized") / form, folder / "base");
      WriteText(folder / "base/quantize_config.json", "{}");
      WriteSmallAdapter(folder / "adapter");
      MergeRequest request;
      request.base = folder / "base";
      request.adapters = {{folder / "adapter"}};
      request.output = folder / "out";
      request.dtype = DType::kFloat32;
      const auto report = MergeCheckpoint(request);
      REQUIRE_MESSAGE(report.ok(), report.status().message());
      CHECK_FALSE(report->base_stored_as.empty());

      const auto base = Checkpoint::Open(request.base);
      const auto merged = Checkpoint::Open(request.output);
      REQUIRE_MESSAGE(merged.ok(), merged.status().message());
      CHECK((*merged)->stored_as().empty());
      CHECK_FALSE(std::filesystem::exists(folder / "out/quantize_config.json"));
      const auto config = JsonDocument::Read(folder / "out/config.json");
      REQUIRE(config.ok());
      CHECK_FALSE((*config)->root().Has("quantization_config"));
      CHECK((*config)->root().Has("hidden_size"));

      const std::vector<double> a = RandomTensor({2, 32}, 7).values;
      const std::vector<double> b = RandomTensor({32, 2}, 8).values;
      for (const TensorInfo& info : (*merged)->tensors()) {
        CHECK(info.dtype == DType::kFloat32);
        const TensorInfo* expected = (*base)->Find(std::string(kExpected) + info.name);
        if (expected == nullptr) continue;
        std::vector<double> numbers = ReadAll(**base, expected->name);
        for (size_t i = 0; info.name == kQuery && i < numbers.size(); ++i) {
          for (size_t k = 0; k < 2; ++k) {
            numbers[i] += 2.0 * b[i / 32 * 2 + k] * a[k * 32 + i % 32];
          }
        }
        CHECK(Distance(ReadAll(**merged, info.name), numbers) < 1e-7);
      }
      // In the type of config.json, if no other is asked for.
      request.dtype.reset();
      request.output = folder / "kept";
      REQUIRE(MergeCheckpoint(request).ok());
      const auto kept = Checkpoint::Open(request.output);
      REQUIRE(kept.ok());
      CHECK((*kept)->Find(kQuery)->dtype == DType::kBFloat16);
    }
  }

  TEST_CASE("names of bases tell whether these are quantized") {
    for (const char* name :
         {"unsloth/llama-3.2-1b-unsloth-bnb-4bit", "Qwen/Qwen2-7B-Instruct-GPTQ-Int4", "a/b-AWQ",
          "neuralmagic/x-FP8-dynamic", "mlx-community/Qwen3-4bit", "x/y-GGUF", "z-w4a16",
          "models/x-nf4/", "google/gemma-3-1b-it-qat-q4_0-gguf"}) {
      CAPTURE(std::string(name));
      CHECK(NamesQuantizedBase(name));
    }
    for (const char* name :
         {"meta-llama/Llama-3.2-1B", "", "google/gemma-3-1b-it-qat-q4_0-unquantized",
          "bnb-4bit/plain", "q/habit-forming", "x-w4"}) {
      CAPTURE(std::string(name));
      CHECK_FALSE(NamesQuantizedBase(name));
    }
  }

  TEST_CASE("the report says where training and merge are about different bases") {
    const struct {
      bool packed;
      const char* recorded;
      const char* note;
    } kCases[] = {
        {true, "u/x-bnb-4bit",
         "was trained on 'u/x-bnb-4bit', which is quantized, as this base is"},
        {true, "u/x", "was trained on 'u/x', which by its name is not quantized, and this base is"},
        {false, "u/x-bnb-4bit",
         "was trained on 'u/x-bnb-4bit', which is quantized, and this base is not: name that one"},
        {false, "u/x", ""},
        {true, "", ""},
    };
    for (const auto& item : kCases) {
      CAPTURE(std::string(item.recorded));
      EditedModel model("quantized/llama_bnb_nf4");
      auto base = Checkpoint::Open(model.path());
      REQUIRE(base.ok());
      if (!item.packed) {
        WriteDequantized(**base, model);
        base = Checkpoint::Open(model.path());
        REQUIRE(base.ok());
      }
      const TemporaryFolder adapter;
      WriteSmallAdapter(adapter.path(),
                        std::string(", \"base_model_name_or_path\": \"") + item.recorded + "\"");
      const std::shared_ptr<const Checkpoint> shared = std::move(*base);
      const AdapterSpec spec[] = {{adapter.path()}};
      const auto merged = MergedSource::Open(shared, spec);
      REQUIRE_MESSAGE(merged.ok(), merged.status().message());
      const std::string note = (*merged)->report().adapters[0].base_note;
      INFO(note);
      CHECK(note.substr(0, std::string(item.note).size()) == item.note);
      CHECK(note.empty() == std::string(item.note).empty());
    }
  }

  TEST_CASE("a base of another name on the hub is told") {
    const EditedModel model("quantized/llama_bnb_nf4");
    auto packed = Checkpoint::Open(model.path());
    REQUIRE(packed.ok());
    EditedModel plain("quantized/llama_bnb_nf4");
    WriteDequantized(**packed, plain);
    const TemporaryFolder cache;
    const auto folder = cache.path() / "models--org--One" / "snapshots" / "0a1b";
    std::filesystem::create_directories(folder);
    std::filesystem::copy(plain.path(), folder, std::filesystem::copy_options::recursive);
    const auto base = Checkpoint::Open(folder);
    REQUIRE_MESSAGE(base.ok(), base.status().message());
    CHECK(BaseNote("org/Two", **base, false) ==
          "was trained on 'org/Two', and this base is 'org/One': name that one as --base, unless "
          "they are the same");
    // The same from another owner; a path; no name.
    for (const char* recorded : {"org/One", "copies/one", "/models/two", "./two", "two", ""})
      CHECK(BaseNote(recorded, **base, false).empty());
    // A folder may be called anything.
    const auto unnamed = Checkpoint::Open(plain.path());
    REQUIRE(unnamed.ok());
    CHECK(BaseNote("org/Two", **unnamed, false).empty());
  }
}

}  // namespace
}  // namespace graft::converter
