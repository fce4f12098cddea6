// SPDX-License-Identifier: Apache-2.0
// What lies beside an adapter takes the place of what lies beside the base, in the file and in the
// merged folder alike.
#include "converter/merge/companions.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "converter/merge/merge_checkpoint.h"
#include "converter/tokenizer/chat_files.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr StoredFormat kWhole{StorageKind::kFloat32};

std::string SmallVocabulary(const char* last) {
  return std::string(R"({"added_tokens": [{"id": 2, "content": "</s>", "special": true},
      {"id": 7, "content": ")") +
         last + R"(", "special": true}],
      "model": {"type": "BPE", "unk_token": "<unk>", "merges": [],
                "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "c": 5, "d": 6}}})";
}

/// A base and an adapter that changes one of its matrices; files are put beside both.
class CompanionBench {
 public:
  explicit CompanionBench(const char* base = "adapters/base_llama", int64_t width = 64,
                          const char* module = "model.layers.0.self_attn.q_proj",
                          const char* target = "q_proj") {
    CopyFolder(TestData(base), folder_ / "base");
    const std::string name = std::string("base_model.model.") + module;
    WriteAdapter(adapter(), "LORA", std::string(R"("r": 2, "target_modules": [")") + target + "\"]",
                 {{name + ".lora_A.weight", RandomTensor({2, width}, 5)},
                  {name + ".lora_B.weight", RandomTensor({width, 2}, 6)}});
  }
  static CompanionBench Sentences(const char* base, int64_t width) {
    return CompanionBench(base, width, "encoder.layer.0.attention.self.query", "query");
  }

  fs::path base() const { return folder_ / "base"; }
  fs::path adapter() const { return folder_ / "adapter"; }
  fs::path merged() const { return folder_ / "merged"; }
  void Write(const fs::path& file, std::string_view text) const {
    fs::create_directories(file.parent_path());
    WriteText(file, text);
  }

  Status TryMerge() const {
    fs::remove_all(merged());
    MergeRequest request;
    request.base = base();
    request.adapters = {{adapter(), 1}};
    request.output = merged();
    auto report = MergeCheckpoint(request);
    if (!report.ok()) return report.status();
    report_ = std::move(report).value().adapters[0];
    return OkStatus();
  }
  /// The model of base and adapter, which must be what converting the merged folder gives.
  LoadedModel Convert() const {
    const Status status = TryMerge();
    REQUIRE_MESSAGE(status.ok(), status.message());
    LoadedModel at_once = ConvertOne(base(), adapter());
    const LoadedModel after = ConvertOne(merged(), {});
    CHECK(EndTokens(at_once) == EndTokens(after));
    CHECK(Pooling(at_once) == Pooling(after));
    CHECK(Labels(at_once) == Labels(after));
    for (const auto text : {&schema::fb::Model::chat_template, &schema::fb::Model::bos_token,
                            &schema::fb::Model::eos_token}) {
      const auto* x = (at_once.model().*text)();
      const auto* y = (after.model().*text)();
      CHECK((x == nullptr ? "" : x->str()) == (y == nullptr ? "" : y->str()));
    }
    return at_once;
  }
  std::string Fault() const {
    const auto outcome = ConvertModel({base(), adapter(), kWhole, folder_ / "fault.graft"});
    return outcome.ok() ? "" : std::string(outcome.status().message());
  }
  const AdapterReport& report() const { return report_; }

  static std::vector<uint32_t> EndTokens(const LoadedModel& model) {
    const auto* tokens = model.model().task()->end_tokens();
    return tokens == nullptr ? std::vector<uint32_t>()
                             : std::vector<uint32_t>(tokens->begin(), tokens->end());
  }
  static std::vector<std::string> Labels(const LoadedModel& model) {
    std::vector<std::string> labels;
    if (const auto* list = model.model().task()->labels(); list != nullptr)
      for (const auto* label : *list) labels.push_back(label->str());
    return labels;
  }
  /// "Mean 0 normalized", "Row -1", ...
  static std::string Pooling(const LoadedModel& model) {
    std::string text;
    for (const schema::fb::Op* op : *model.model().graph()->ops()) {
      const auto* pool = op->attributes_as_PoolRows();
      if (pool == nullptr || !text.empty()) continue;  // the first makes the embedding
      text = std::string(schema::fb::EnumNamePoolKind(pool->kind())) + " " +
             std::to_string(pool->index());
      if (model.FindTensor("unit_length") != nullptr) text += " normalized";
    }
    return text;
  }

 private:
  LoadedModel ConvertOne(const fs::path& from, const fs::path& with) const {
    const fs::path file = folder_ / (with.empty() ? "after.graft" : "at_once.graft");
    const auto outcome = ConvertModel({from, with, kWhole, file});
    REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
    return LoadedModel(file);
  }

  TemporaryFolder folder_;
  mutable AdapterReport report_;
};

using TokenIds = std::vector<uint32_t>;
using TextList = std::vector<std::string>;

TEST_SUITE("converter/companions") {
  TEST_CASE("generation stops at the end that an adapter's tokenizer names, too") {
    const CompanionBench bench;
    bench.Write(bench.base() / "tokenizer.json", SmallVocabulary("<end>"));
    bench.Write(bench.base() / "tokenizer_config.json", R"({"eos_token": "</s>"})");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{2});

    bench.Write(bench.adapter() / "tokenizer.json", SmallVocabulary("<turn>"));
    bench.Write(bench.adapter() / "tokenizer_config.json",
                R"({"eos_token": {"content": "<turn>"}, "chat_template": "{{ eos_token }}"})");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{2, 7});
    CHECK(bench.report().brings == TextList{"tokenizer", "chat template"});

    // The base's generation_config.json names several; there is none; the adapter has its own.
    bench.Write(bench.base() / "generation_config.json", R"({"eos_token_id": [5, 3]})");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{5, 3, 7});
    fs::remove(bench.base() / "generation_config.json");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{2, 7});
    bench.Write(bench.adapter() / "generation_config.json", R"({"eos_token_id": 4})");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{4, 7});

    // Named in special_tokens_map.json alone; known already; unknown to the tokenizer.
    fs::remove(bench.adapter() / "generation_config.json");
    fs::remove(bench.adapter() / "tokenizer_config.json");
    bench.Write(bench.adapter() / "special_tokens_map.json", R"({"eos_token": "<turn>"})");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{2, 7});
    bench.Write(bench.adapter() / "special_tokens_map.json", R"({"eos_token": "</s>"})");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{2});
  }

  TEST_CASE("an adapter's template holds in each of its forms, with its tokens") {
    const CompanionBench bench;
    bench.Write(bench.base() / "tokenizer.json", SmallVocabulary("<end>"));
    bench.Write(bench.base() / "tokenizer_config.json",
                R"({"eos_token": "</s>", "bos_token": "<s>", "chat_template": "base"})");
    bench.Write(bench.base() / "chat_template.jinja", "base's file");
    const auto chat = [&] { return bench.Convert().model().chat_template()->str(); };
    CHECK(chat() == "base's file");

    bench.Write(bench.adapter() / "chat_template.jinja", "jinja");
    CHECK(chat() == "jinja");
    fs::remove(bench.adapter() / "chat_template.jinja");
    bench.Write(bench.adapter() / "chat_template.json", R"({"chat_template": "json"})");
    CHECK(chat() == "json");
    fs::remove(bench.adapter() / "chat_template.json");
    bench.Write(bench.adapter() / "tokenizer_config.json",
                R"({"eos_token": "<end>", "chat_template": [{"name": "default",
                    "template": "settings"}]})");
    CHECK(chat() == "settings");
    CHECK(CompanionBench::EndTokens(bench.Convert()) == TokenIds{2, 7});
    CHECK(bench.Convert().model().eos_token()->str() == "<end>");
    CHECK(bench.Convert().model().bos_token()->str() == "<s>");

    // A tokenizer without a template leaves the base's.
    bench.Write(bench.adapter() / "tokenizer.json", SmallVocabulary("<turn>"));
    bench.Write(bench.adapter() / "tokenizer_config.json", R"({"eos_token": "<turn>"})");
    CHECK(chat() == "base's file");
    CHECK(bench.Convert().model().eos_token()->str() == "<turn>");
    CHECK(bench.Convert().model().bos_token()->str().empty());
  }

  TEST_CASE("a merged folder never mixes two tokenizers") {
    const CompanionBench bench;
    bench.Write(bench.base() / "tokenizer.json", SmallVocabulary("<end>"));
    bench.Write(bench.base() / "tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
    bench.Write(bench.base() / "added_tokens.json", R"({"<end>": 7})");
    bench.Write(bench.base() / "special_tokens_map.json", "{}");
    bench.Write(bench.base() / "additional_chat_templates" / "tool.jinja", "x");
    REQUIRE(bench.TryMerge().ok());
    CHECK(fs::exists(bench.merged() / "additional_chat_templates" / "tool.jinja"));

    bench.Write(bench.adapter() / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
    bench.Write(bench.adapter() / "tokenizer_config.json",
                R"({"tokenizer_class": "BertTokenizer"})");
    REQUIRE(bench.TryMerge().ok());
    CHECK(NamesIn(bench.merged()) == TextList{"config.json", "generation_config.json",
                                              "model.safetensors", "tokenizer_config.json",
                                              "vocab.txt"});
    CHECK(bench.Convert().model().tokenizer()->kind() == schema::fb::TokenizerKind::WordPiece);

    fs::remove(bench.adapter() / "vocab.txt");
    bench.Write(bench.adapter() / "tekken.json", "{}");
    CHECK(bench.Fault().find("does not read") != std::string::npos);
  }

  TEST_CASE("an adapter's pooling holds, and the folders of modules.json come along") {
    constexpr const char* kModules = R"([
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "pool", "type": "sentence_transformers.models.Pooling"}])";
    constexpr const char* kClsPooling = R"({"pooling_mode_cls_token": true})";
    {
      const CompanionBench plain = CompanionBench::Sentences("architectures/bert_encoder", 96);
      CHECK(CompanionBench::Pooling(plain.Convert()) == "Mean 0 normalized");
      plain.Write(plain.adapter() / "modules.json", kModules);
      plain.Write(plain.adapter() / "pool" / "config.json", kClsPooling);
      CHECK(CompanionBench::Pooling(plain.Convert()) == "Row 0");
      plain.Write(plain.adapter() / "pool" / "config.json", R"({"pooling_mode": "max"})");
      CHECK(CompanionBench::Pooling(plain.Convert()) == "Max 0");
    }
    const CompanionBench bench = CompanionBench::Sentences("architectures/minilm_mean", 32);
    CHECK(CompanionBench::Pooling(bench.Convert()) == "Mean 0 normalized");
    CHECK(fs::exists(bench.merged() / "1_Pooling" / "config.json"));
    // The adapter's folder of pooling beside the base's list; then a list of its own.
    bench.Write(bench.adapter() / "1_Pooling" / "config.json", kClsPooling);
    CHECK(CompanionBench::Pooling(bench.Convert()) == "Row 0 normalized");
    bench.Write(bench.adapter() / "modules.json", kModules);
    bench.Write(bench.adapter() / "pool" / "config.json", R"({"pooling_mode": "lasttoken"})");
    CHECK(CompanionBench::Pooling(bench.Convert()) == "Row -1");
    CHECK_FALSE(fs::exists(bench.merged() / "1_Pooling"));
  }

  TEST_CASE("an adapter's labels hold, and its other settings are named") {
    const CompanionBench bench = CompanionBench::Sentences("architectures/bert_seqcls", 64);
    CHECK(CompanionBench::Labels(bench.Convert()) == TextList{"LABEL_0", "LABEL_1", "LABEL_2"});
    bench.Write(bench.adapter() / "config.json",
                R"({"id2label": {"0": "bad", "1": "so so", "2": "good"}, "hidden_act": "relu",
                    "problem_type": "multi_label_classification"})");
    const LoadedModel model = bench.Convert();
    CHECK(CompanionBench::Labels(model) == TextList{"bad", "so so", "good"});
    CHECK(model.model().task()->scores() == schema::fb::ScoreKind::Sigmoid);
    CHECK(bench.report().brings == TextList{"labels"});
    CHECK(bench.report().unused_files ==
          TextList{"config.json (the base's settings hold: hidden_act)"});
  }

  TEST_CASE("says what lies beside an adapter and does nothing") {
    const CompanionBench bench;
    bench.Write(bench.base() / "tokenizer.json", SmallVocabulary("<end>"));
    bench.Write(bench.adapter() / "added_tokens.json", R"({"<new>": 8})");
    bench.Write(bench.adapter() / "sentence_bert_config.json", R"({"max_seq_length": 8})");
    REQUIRE(bench.TryMerge().ok());
    REQUIRE(bench.report().unused_files.size() == 2);
    CHECK(bench.report().unused_files[0].find("added_tokens.json") == 0);
    CHECK(bench.report().unused_files[1].find("modules.json") != std::string::npos);
  }

  TEST_CASE("what was saved around an adapter of its own name counts as the adapter's") {
    const TemporaryFolder work;
    const CompanionBench bench;
    fs::create_directories(work / "outer");
    fs::copy(bench.adapter(), work / "outer" / "mine");
    WriteText(work / "outer" / "chat_template.jinja", "outer");
    const std::vector<fs::path> folders[] = {{work / "outer" / "mine", work / "outer"}};
    std::vector<BroughtFiles> brought;
    const auto found = FindCompanions(folders, bench.base(), &brought);
    REQUIRE(found.ok());
    CHECK(found->chat == work / "outer");
    const auto merged = Merge(bench.base(), work / "outer");
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    CHECK((*merged)->companions().chat == work / "outer");
  }

  TEST_CASE("two adapters must not disagree about a part") {
    const TemporaryFolder work;
    for (const char* name : {"a", "b"}) fs::create_directories(work / name);
    const std::vector<fs::path> folders[] = {{work / "a"}, {work / "b"}};
    const auto fault = [&] {
      std::vector<BroughtFiles> brought;
      const auto found = FindCompanions(folders, work.path(), &brought);
      return found.ok() ? std::string() : std::string(found.status().message());
    };
    WriteText(work / "a" / "chat_template.jinja", "one");
    CHECK(fault().empty());
    WriteText(work / "b" / "chat_template.jinja", "one");
    CHECK(fault().empty());
    WriteText(work / "b" / "chat_template.jinja", "two");
    CHECK(fault().find("different chat templates") != std::string::npos);
    fs::remove(work / "b" / "chat_template.jinja");
    WriteText(work / "a" / "generation_config.json", R"({"eos_token_id": 1})");
    WriteText(work / "b" / "generation_config.json", R"({"eos_token_id": 2})");
    CHECK(fault().find("generation_config.json") != std::string::npos);
  }
}

}  // namespace
}  // namespace graft::converter
