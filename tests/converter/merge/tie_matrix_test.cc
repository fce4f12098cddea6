// SPDX-License-Identifier: Apache-2.0
// Adapters of embeddings and heads, alone and in pairs, on bases that tie the two, store them apart
// though tied, or do not tie them: against what PEFT gives with the adapters attached.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/formats/open_weight_file.h"
#include "converter/json/json.h"
#include "converter/merge/merge_checkpoint.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInput = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr double kTolerance = 1e-5;

// What the two matrices hold, by whatever they are stored as.
struct Sides {
  std::vector<double> input, head;
  bool operator==(const Sides&) const = default;
};

Sides SidesOf(const TensorSource& model) {
  Sides sides{ReadAll(model, kInput), {}};
  sides.head = model.Find(kHead) != nullptr ? ReadAll(model, kHead) : sides.input;
  return sides;
}

// The bases that a case of `base` holds for: how a tied matrix is stored changes nothing.
std::vector<std::string> StoringsOf(const std::string& base) {
  if (base != "tied") return {base};
  return {"tied", "stored", "lone"};
}

double LargestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// tests/data/ties, laid out as files of PEFT.
class TieData {
 public:
  TieData() {
    auto cases = JsonDocument::Read(TestData("ties/cases.json"));
    REQUIRE(cases.ok());
    document_ = std::move(cases).value();
    auto expected = OpenWeightFile(TestData("ties/expected.safetensors"));
    REQUIRE(expected.ok());
    expected_ = std::move(expected).value();
    WriteAdapters();
    // The same matrix stored twice, and under the head's name alone.
    SmallTensors tensors;
    const auto tied = Checkpoint::Open(TestData("ties/tied"));
    REQUIRE(tied.ok());
    for (const TensorInfo& info : (*tied)->tensors())
      tensors[info.name] = {info.shape, ReadAll(**tied, info.name)};
    tensors[kHead] = tensors[kInput];
    for (const char* name : {"stored", "lone"}) {
      CopyFolder(TestData("ties/tied"), folder_ / name);
      WriteTensors(folder_ / name / "model.safetensors", tensors);
      tensors.erase(kInput);
    }
  }

  JsonValue cases() const { return document_->root().Find("cases"); }
  JsonValue adapters() const { return document_->root().Find("adapters"); }
  fs::path Base(std::string_view name) const {
    const bool made = name == "stored" || name == "lone";
    return made ? folder_ / name : TestData("ties/" + std::string(name));
  }
  fs::path Adapter(std::string_view name) const { return folder_ / name; }
  fs::path Scratch(std::string_view name) const { return folder_ / name; }

  std::vector<AdapterSpec> Adapters(JsonValue list) const {
    std::vector<AdapterSpec> specs;
    for (size_t i = 0; i < list.size(); ++i) specs.push_back({Adapter(*list.at(i).AsString())});
    return specs;
  }

  Sides Expected(const std::string& name) const {
    Sides sides{Numbers(name + "|input"), {}};
    const bool own = expected_->Find(name + "|head") != nullptr;
    sides.head = own ? Numbers(name + "|head") : sides.input;
    return sides;
  }

 private:
  void WriteAdapters() {
    std::map<std::string, SmallTensors> tensors;
    const auto file = OpenWeightFile(TestData("ties/adapters.safetensors"));
    REQUIRE(file.ok());
    for (const WeightFile::Entry& entry : (*file)->entries()) {
      const size_t bar = entry.info.name.find('|');
      SmallTensor tensor{entry.info.shape, {}};
      tensor.values.resize(static_cast<size_t>(entry.info.rows() * entry.info.row_elements()));
      REQUIRE((*file)->ReadRows(entry, 0, entry.info.rows(), tensor.values).ok());
      tensors[entry.info.name.substr(0, bar)][Key(entry.info.name.substr(bar + 1))] = tensor;
    }
    for (size_t i = 0; i < adapters().size(); ++i) {
      const std::string name(adapters().key(i));
      std::string settings =
          R"("r": 2, "lora_alpha": 3, "task_type": "CAUSAL_LM", "peft_version": "0.20.0")";
      settings += ", " + std::string(*adapters().at(i).AsString());
      fs::create_directories(Adapter(name).parent_path());
      WriteAdapter(Adapter(name), "LORA", settings, tensors[name]);
    }
  }

  std::vector<double> Numbers(const std::string& name) const {
    const WeightFile::Entry* entry = expected_->Find(name);
    REQUIRE_MESSAGE(entry != nullptr, name);
    std::vector<double> values(
        static_cast<size_t>(entry->info.rows() * entry->info.row_elements()));
    REQUIRE(expected_->ReadRows(*entry, 0, entry->info.rows(), values).ok());
    return values;
  }

  TemporaryFolder folder_;
  std::unique_ptr<JsonDocument> document_;
  std::unique_ptr<WeightFile> expected_;
};

// Written once for all cases.
const TieData& Data() {
  static const TieData data;
  return data;
}

Result<std::unique_ptr<MergedSource>> Open(const fs::path& base,
                                           const std::vector<AdapterSpec>& adapters) {
  GRAFT_ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::Open(base));
  return MergedSource::Open(std::move(checkpoint), adapters);
}

// The merged folder has the matrices that `merged` has, and says whether they are one.
void CheckWritten(const TieData& data, const fs::path& base,
                  const std::vector<AdapterSpec>& adapters, const Sides& sides) {
  MergeRequest request;
  request.base = base;
  request.adapters = adapters;
  request.output = data.Scratch("merged");
  request.threads = 1;
  fs::remove_all(request.output);
  const auto report = MergeCheckpoint(request);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  const auto written = Checkpoint::Open(request.output);
  REQUIRE(written.ok());
  const Sides stored = SidesOf(**written);
  CHECK(LargestDifference(stored.input, sides.input) <= kTolerance);
  CHECK(LargestDifference(stored.head, sides.head) <= kTolerance);
  const auto config = JsonDocument::Read(request.output / "config.json");
  REQUIRE(config.ok());
  const auto file = OpenWeightFile(request.output / "model.safetensors");
  REQUIRE(file.ok());
  // What the two are in the file itself: programs go by config.json before they look.
  const bool own_head =
      (*file)->Find(kHead) != nullptr &&
      !*(*file)->SameNumbers(*(*file)->Find(kInput), **file, *(*file)->Find(kHead));
  if (own_head) CHECK_FALSE(*(*config)->root().GetBool("tie_word_embeddings"));
  if ((*file)->Find(kHead) == nullptr) CHECK(*(*config)->root().GetBool("tie_word_embeddings"));
  CHECK(*(*config)->root().GetInt("vocab_size") == static_cast<int64_t>(stored.input.size() / 4));
}

TEST_SUITE("converter/tie_matrix") {
  TEST_CASE("gives PEFT's embedding and head, in either order and by way of a folder") {
    const TieData& data = Data();
    REQUIRE(data.cases().size() == 174);
    for (size_t i = 0; i < data.cases().size(); i += test::StepOfAll(11)) {
      const std::string name(data.cases().key(i));
      CAPTURE(name);
      const Sides expected = data.Expected(name);
      std::vector<AdapterSpec> adapters = data.Adapters(data.cases().at(i));
      const std::string base = name.substr(0, name.find('/'));
      for (const std::string& storing : StoringsOf(base)) {
        CAPTURE(storing);
        const auto merged = Open(data.Base(storing), adapters);
        REQUIRE_MESSAGE(merged.ok(), merged.status().message());
        const Sides sides = SidesOf(**merged);
        CHECK(LargestDifference(sides.input, expected.input) <= kTolerance);
        CHECK(LargestDifference(sides.head, expected.head) <= kTolerance);
        std::reverse(adapters.begin(), adapters.end());
        const auto reversed = Open(data.Base(storing), adapters);
        REQUIRE_MESSAGE(reversed.ok(), reversed.status().message());
        CHECK(SidesOf(**reversed) == sides);
        CheckWritten(data, data.Base(storing), adapters, sides);
      }
    }
  }

  TEST_CASE("adds up the changes of any two adapters, in either order") {
    // Also of those that PEFT does not attach together.
    const TieData& data = Data();
    for (const std::string base : {"tied", "stored", "lone", "unequal", "untied"}) {
      const auto start = Checkpoint::Open(data.Base(base));
      REQUIRE(start.ok());
      const Sides before = SidesOf(**start);
      std::map<std::string, Sides> alone;
      const std::string owner = base == "stored" || base == "lone" ? "tied" : base;
      for (size_t i = 0; i < data.adapters().size(); ++i) {
        const std::string name(data.adapters().key(i));
        if (!name.starts_with(owner + "/") || name.find("grown") != std::string::npos) continue;
        alone[name] = SidesOf(**Open(data.Base(base), {{data.Adapter(name)}}));
      }
      REQUIRE(alone.size() > 12);
      size_t pair = 0;
      for (const auto& [a, of_a] : alone) {
        for (const auto& [b, of_b] : alone) {
          if (a.ends_with(".1") || b.ends_with(".0") || pair++ % test::StepOfAll(11) != 0) continue;
          CAPTURE(base + ": " + a + " and " + b);
          const auto both = Open(data.Base(base), {{data.Adapter(a)}, {data.Adapter(b)}});
          const auto reversed = Open(data.Base(base), {{data.Adapter(b)}, {data.Adapter(a)}});
          REQUIRE_MESSAGE(both.ok(), both.status().message());
          REQUIRE_MESSAGE(reversed.ok(), reversed.status().message());
          const Sides sides = SidesOf(**both);
          CHECK(SidesOf(**reversed) == sides);
          Sides sum = of_a;
          for (size_t k = 0; k < sum.input.size(); ++k) {
            sum.input[k] += of_b.input[k] - before.input[k];
            sum.head[k] += of_b.head[k] - before.head[k];
          }
          CHECK(LargestDifference(sides.input, sum.input) <= 1e-12);
          CHECK(LargestDifference(sides.head, sum.head) <= 1e-12);
        }
      }
    }
  }

  TEST_CASE("refuses a vocabulary that grew on one side only") {
    const TieData& data = Data();
    SmallTensors adapter = {{Key("lm_head.base_layer.weight"), RandomTensor({14, 4}, 1)},
                            {Key("lm_head.lora_A.weight"), RandomTensor({2, 4}, 2)},
                            {Key("lm_head.lora_B.weight"), RandomTensor({14, 2}, 3)}};
    WriteAdapter(data.Scratch("grown"), "LORA", R"("r": 2, "target_modules": ["lm_head"])",
                 adapter);
    for (const char* base : {"tied", "stored", "lone", "unequal"})
      CHECK(Open(data.Base(base), {{data.Scratch("grown")}}).ok());
    const std::string fault(
        Open(data.Base("untied"), {{data.Scratch("grown")}}).status().message());
    CHECK(fault.find("another vocabulary for one side only: 'model.embed_tokens.weight' has 12 "
                     "rows, 'lm_head.weight' has 14") != std::string::npos);
    // What the adapter was trained over is in no file.
    adapter.erase(Key("lm_head.base_layer.weight"));
    WriteAdapter(data.Scratch("grown"), "LORA", R"("r": 2, "target_modules": ["lm_head"])",
                 adapter);
    const std::string lost(Open(data.Base("tied"), {{data.Scratch("grown")}}).status().message());
    CHECK(lost.find("trained over another vocabulary, which is not in the adapter") !=
          std::string::npos);
  }

  TEST_CASE("refuses two adapters that were trained over different vocabularies") {
    const TieData& data = Data();
    for (const auto& [name, seed] : {std::pair{"a", 1}, {"b", 2}}) {
      const SmallTensor grown = RandomTensor({14, 4}, static_cast<uint32_t>(seed));
      WriteAdapter(data.Scratch(name), "LORA", R"("r": 2, "target_modules": ["q_proj"])",
                   {{Key(kInput), grown}, {Key(kHead), grown}});
    }
    CHECK(Open(data.Base("tied"), {{data.Scratch("a")}, {data.Scratch("a"), 0.5}}).ok());
    for (const auto& [one, other] : {std::pair{"a", "b"}, {"b", "a"}}) {
      const auto merged = Open(data.Base("tied"), {{data.Scratch(one)}, {data.Scratch(other)}});
      CHECK(merged.status().code() == StatusCode::kMismatch);
      CHECK(merged.status().message().find("trained over different embeddings") !=
            std::string::npos);
    }
  }

  TEST_CASE("a copied head stays a copy, and what is written as it was is not called changed") {
    const TieData& data = Data();
    const auto merge = [&](const char* base, const std::string& settings,
                           const SmallTensors& tensors) {
      WriteAdapter(data.Scratch("adapter"), "LORA", R"("r": 2, )" + settings, tensors);
      MergeRequest request;
      request.base = data.Base(base);
      request.adapters = {{data.Scratch("adapter")}};
      request.output = data.Scratch("merged");
      fs::remove_all(request.output);
      const auto report = MergeCheckpoint(request);
      REQUIRE_MESSAGE(report.ok(), report.status().message());
      std::string changed;
      for (const TensorReport& tensor : report->tensors) changed += tensor.name + " ";
      return changed;
    };
    const SmallTensors query = {
        {Key("model.layers.0.self_attn.q_proj.lora_A.weight"), RandomTensor({2, 4}, 1)},
        {Key("model.layers.0.self_attn.q_proj.lora_B.weight"), RandomTensor({4, 2}, 2)}};
    const std::string changed_query = "model.layers.0.self_attn.q_proj.weight ";
    const auto file = [&] {
      return std::move(OpenWeightFile(data.Scratch("merged") / "model.safetensors")).value();
    };
    CHECK(merge("stored", R"("target_modules": ["q_proj"])", query) == changed_query);
    CHECK(*file()->SameNumbers(*file()->Find(kInput), *file(), *file()->Find(kHead)));

    // Both matrices saved as they were, as PEFT's save_embedding_layers does.
    SmallTensors saved = query;
    const auto base = Checkpoint::Open(data.Base("untied"));
    for (const char* name : {kInput, kHead}) saved[Key(name)] = {{12, 4}, ReadAll(**base, name)};
    CHECK(merge("untied", R"("target_modules": ["q_proj"])", saved) == changed_query);
    CHECK(merge("untied", R"("target_modules": ["q_proj"], "modules_to_save": ["lm_head"])",
                saved) == changed_query);
    // Trained rows of a tied embedding are rows of its copy.
    SmallTensors tokens = {
        {Key("model.embed_tokens.token_adapter.trainable_tokens_delta"), RandomTensor({1, 4}, 3)}};
    CHECK(merge("stored", R"("trainable_token_indices": [7])", tokens) ==
          std::string(kInput) + " ");
    CHECK(*file()->SameNumbers(*file()->Find(kInput), *file(), *file()->Find(kHead)));
  }

  TEST_CASE("an mlx adapter of the embedding and one of PEFT for the head, in either order") {
    const TieData& data = Data();
    fs::create_directories(data.Scratch("mlx"));
    WriteText(data.Scratch("mlx") / "adapter_config.json",
              R"({"fine_tune_type": "lora", "num_layers": 1, )"
              R"("lora_parameters": {"rank": 2, "scale": 0.5, "dropout": 0.0}})");
    const SmallTensor a = RandomTensor({12, 2}, 1), b = RandomTensor({2, 4}, 2);
    WriteTensors(data.Scratch("mlx") / "adapters.safetensors",
                 {{"model.embed_tokens.lora_a", a}, {"model.embed_tokens.lora_b", b}});
    const SmallTensor down = RandomTensor({2, 4}, 3), up = RandomTensor({12, 2}, 4);
    WriteAdapter(data.Scratch("head"), "LORA",
                 R"("r": 2, "lora_alpha": 2, "target_modules": ["lm_head"])",
                 {{Key("lm_head.lora_A.weight"), down}, {Key("lm_head.lora_B.weight"), up}});
    for (const char* base : {"tied", "stored"}) {
      Sides expected = SidesOf(**Checkpoint::Open(data.Base(base)));
      for (size_t row = 0; row < 12; ++row) {
        for (size_t column = 0; column < 4; ++column) {
          double of_mlx = 0, of_head = 0;
          for (size_t r = 0; r < 2; ++r) {
            of_mlx += 0.5 * a.values[row * 2 + r] * b.values[r * 4 + column];
            of_head += up.values[row * 2 + r] * down.values[r * 4 + column];
          }
          expected.input[row * 4 + column] += of_mlx;
          expected.head[row * 4 + column] += of_mlx + of_head;
        }
      }
      for (const auto& [one, other] : {std::pair{"mlx", "head"}, {"head", "mlx"}}) {
        const auto merged = Open(data.Base(base), {{data.Scratch(one)}, {data.Scratch(other)}});
        REQUIRE_MESSAGE(merged.ok(), merged.status().message());
        CHECK(LargestDifference(SidesOf(**merged).input, expected.input) <= 1e-12);
        CHECK(LargestDifference(SidesOf(**merged).head, expected.head) <= 1e-12);
      }
      const auto alone = Open(data.Base(base), {{data.Scratch("mlx")}});
      REQUIRE(alone.ok());
      CHECK((*alone)->Find(kHead) == nullptr);
    }
  }

  TEST_CASE("an adapter that was trained without the language head unties nothing") {
    const TieData& data = Data();
    WriteAdapter(data.Scratch("scores"), "LORA",
                 R"("r": 2, "target_modules": ["embed_tokens"], "task_type": "SEQ_CLS")",
                 {{Key("model.embed_tokens.lora_embedding_A"), RandomTensor({2, 12}, 1)},
                  {Key("model.embed_tokens.lora_embedding_B"), RandomTensor({4, 2}, 2)}});
    const auto merged = Open(data.Base("tied"), {{data.Scratch("scores")}});
    REQUIRE(merged.ok());
    CHECK((*merged)->Find(kHead) == nullptr);
    CHECK_FALSE((*merged)->unties_embeddings());
  }

  TEST_CASE("a converted model's head is the merged one") {
    const TieData& data = Data();
    for (const char* name : {"tied/loraH", "tied/savedE", "unequal/plain", "unequal/loraH_grown",
                             "tied/loraH_tokensE", "untied/loraB"}) {
      const std::string base = std::string(name).substr(0, std::string(name).find('/'));
      for (const std::string& storing : StoringsOf(base)) {
        CAPTURE(std::string(name) + " on " + storing);
        const auto outcome =
            ConvertModel({data.Base(storing), data.Adapter(std::string(name) + ".0"),
                          StoredFormat{StorageKind::kFloat32}, data.Scratch("m.graft")});
        REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
        const LoadedModel model(data.Scratch("m.graft"));
        const std::vector<float> floats =
            model.Floats(model.FindTensor(kHead) != nullptr ? kHead : kInput);
        CHECK(LargestDifference({floats.begin(), floats.end()}, data.Expected(name).head) <=
              kTolerance);
      }
    }
  }
}

}  // namespace
}  // namespace graft::converter
