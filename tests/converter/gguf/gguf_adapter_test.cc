// SPDX-License-Identifier: Apache-2.0
// LoRA files of llama.cpp merge as the PEFT adapters that they were made from.
#include "converter/gguf/gguf_adapter.h"

#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"
#include "tests/support/gguf_maker.h"
#include "tests/support/mentions.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWidth = 16;
constexpr size_t kRank = 2;

std::vector<float> Floats(const SmallTensor& tensor) {
  return {tensor.values.begin(), tensor.values.end()};
}

// As the converter of llama.cpp does: heads of [2, n / 2] rows become [n / 2, 2].
std::vector<float> InPairs(const SmallTensor& tensor, size_t heads) {
  const auto rows = static_cast<size_t>(tensor.shape[0]);
  const size_t half = rows / heads / 2;
  std::vector<float> stored;
  for (size_t head = 0; head < heads; ++head) {
    for (size_t i = 0; i < half; ++i) {
      for (size_t part = 0; part < 2; ++part) {
        const size_t row = (head * 2 + part) * half + i;
        for (size_t k = 0; k < kRank; ++k)
          stored.push_back(static_cast<float>(tensor.values[row * kRank + k]));
      }
    }
  }
  return stored;
}

void AddStart(GgufMaker* maker, const char* family = "llama") {
  maker->Text("general.type", "adapter");
  maker->Text("general.architecture", family);
  maker->Text("adapter.type", "lora");
  maker->Number("adapter.lora.alpha", 3.0f);
}

std::string FaultOf(const GgufMaker& maker, const fs::path& base = TestData("gguf/llama.gguf")) {
  const TemporaryFolder folder;
  WriteText(folder / "lora.gguf", maker.Bytes());
  return MergeFault(base, folder / "lora.gguf");
}

TEST_SUITE("converter/gguf_adapter") {
  TEST_CASE("merges as the adapter in PEFT's names, of any rank, into either base") {
    const std::string layer = "model.layers.1.";
    struct Module {
      std::string name;
      std::string stored;
      int64_t rows;
      size_t heads;  // 0: rows as they are
    };
    const std::vector<Module> modules = {{layer + "self_attn.q_proj", "blk.1.attn_q", 16, 4},
                                         {layer + "self_attn.k_proj", "blk.1.attn_k", 8, 2},
                                         {layer + "self_attn.v_proj", "blk.1.attn_v", 8, 0},
                                         {layer + "mlp.down_proj", "blk.1.ffn_down", 16, 0}};
    const TemporaryFolder folder;
    SmallTensors peft;
    GgufMaker maker;
    AddStart(&maker);
    uint32_t seed = 1;
    for (const Module& module : modules) {
      const std::string name = "base_model.model." + module.name;
      const SmallTensor a = RandomTensor({kRank, kWidth}, seed++, true);
      const SmallTensor b = RandomTensor({module.rows, kRank}, seed++, true);
      peft[name + ".lora_A.weight"] = a;
      peft[name + ".lora_B.weight"] = b;
      maker.Floats32(module.stored + ".weight.lora_a", a.shape, Floats(a));
      maker.Floats32(module.stored + ".weight.lora_b", b.shape,
                     module.heads > 0 ? InPairs(b, module.heads) : Floats(b));
    }
    // A table of tokens: its first factor lies transposed.
    const int64_t tokens = 360;
    const SmallTensor a = RandomTensor({kRank, tokens}, seed++, true);
    const SmallTensor b = RandomTensor({kWidth, kRank}, seed++, true);
    peft["base_model.model.model.embed_tokens.lora_embedding_A"] = a;
    peft["base_model.model.model.embed_tokens.lora_embedding_B"] = b;
    std::vector<float> columns;
    for (int64_t token = 0; token < tokens; ++token) {
      for (size_t k = 0; k < kRank; ++k)
        columns.push_back(static_cast<float>(a.values[k * tokens + static_cast<size_t>(token)]));
    }
    maker.Floats32("token_embd.weight.lora_a", {tokens, kRank}, columns);
    maker.Floats32("token_embd.weight.lora_b", b.shape, Floats(b));
    WriteAdapter(folder / "peft", "LORA",
                 R"("r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "k_proj", "v_proj",
                    "down_proj", "embed_tokens"])",
                 peft);
    fs::create_directory(folder / "gguf");
    WriteText(folder / "gguf" / "lora.gguf", maker.Bytes());
    const fs::path base = TestData("gguf/llama.gguf");
    const auto expected = Merge(base, folder / "peft");
    REQUIRE_MESSAGE(expected.ok(), expected.status().message());
    for (const fs::path& path : {folder / "gguf", folder / "gguf" / "lora.gguf"}) {
      const auto merged = Merge(base, path);
      REQUIRE_MESSAGE(merged.ok(), merged.status().message());
      size_t changed = 0;
      for (const TensorInfo& info : (*expected)->tensors()) {
        INFO(info.name);
        CHECK(ReadAll(**merged, info.name) == ReadAll(**expected, info.name));
        changed += (*merged)->IsAdapted(info.name) ? 1 : 0;
      }
      CHECK(changed == 5);
    }
  }

  TEST_CASE("the heads of a delta rule are put back in order, of rows and of columns") {
    // 2 key heads of 4, 4 value heads of 4: stored are heads 0, 2, 1, 3 of the model's.
    constexpr size_t kHead = 4;
    constexpr size_t kOrder[] = {0, 2, 1, 3};
    const std::string layer = "base_model.model.model.layers.0.linear_attn.";
    const TemporaryFolder folder;
    SmallTensors peft;
    GgufMaker maker;
    AddStart(&maker, "qwen35");
    uint32_t seed = 1;
    const auto add = [&](const std::string& name, const std::string& stored, int64_t rows,
                         size_t kept) {
      const SmallTensor a = RandomTensor({kRank, kWidth}, seed++, true);
      const SmallTensor b = RandomTensor({rows, kRank}, seed++, true);
      peft[layer + name + ".lora_A.weight"] = a;
      peft[layer + name + ".lora_B.weight"] = b;
      std::vector<float> stored_a = Floats(a), stored_b = Floats(b);
      const bool of_columns = name == "out_proj";
      for (size_t i = 0; i < kWidth; ++i) {
        const size_t from = kOrder[i / kHead] * kHead + i % kHead;
        for (size_t k = 0; k < kRank; ++k) {
          if (of_columns) {
            stored_a[k * kWidth + i] = static_cast<float>(a.values[k * kWidth + from]);
          } else {
            stored_b[(kept + i) * kRank + k] =
                static_cast<float>(b.values[(kept + from) * kRank + k]);
          }
        }
      }
      maker.Floats32("blk.0." + stored + ".weight.lora_a", a.shape, stored_a);
      maker.Floats32("blk.0." + stored + ".weight.lora_b", b.shape, stored_b);
    };
    add("in_proj_qkv", "attn_qkv", 2 * 8 + 16, 16);
    add("in_proj_z", "attn_gate", 16, 0);
    add("out_proj", "ssm_out", 16, 0);
    WriteAdapter(folder / "peft", "LORA",
                 R"("r": 2, "lora_alpha": 3, "target_modules": ["in_proj_qkv", "in_proj_z",
                    "out_proj"])",
                 peft);
    WriteText(folder / "lora.gguf", maker.Bytes());
    const fs::path base = TestData("gguf/families/qwen3_5.gguf");
    const auto expected = Merge(base, folder / "peft");
    REQUIRE_MESSAGE(expected.ok(), expected.status().message());
    const auto merged = Merge(base, folder / "lora.gguf");
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    size_t changed = 0;
    for (const TensorInfo& info : (*expected)->tensors()) {
      INFO(info.name);
      CHECK(ReadAll(**merged, info.name) == ReadAll(**expected, info.name));
      changed += (*merged)->IsAdapted(info.name) ? 1 : 0;
    }
    CHECK(changed == 3);
  }

  TEST_CASE("what is no LoRA, or not of this base, is refused by name") {
    const std::vector<float> numbers(32, 1.0f);
    GgufMaker norm;
    AddStart(&norm);
    norm.Floats32("blk.0.attn_norm.weight", {16}, std::vector<float>(16, 1.0f));
    CheckMentions(FaultOf(norm), "tensor 'blk.0.attn_norm.weight' is neither of a LoRA's two");
    GgufMaker unknown;
    AddStart(&unknown);
    unknown.Floats32("blk.0.ssm_in.weight.lora_a", {2, 16}, numbers);
    CheckMentions(FaultOf(unknown), "belongs to no module that graft knows");
    GgufMaker half;
    AddStart(&half);
    half.Floats32("blk.0.attn_v.weight.lora_a", {2, 16}, numbers);
    CheckMentions(FaultOf(half), "lora_A");
    GgufMaker odd;
    AddStart(&odd);
    odd.Floats32("blk.0.attn_q.weight.lora_b", {15, 2}, std::vector<float>(30, 1.0f));
    CheckMentions(FaultOf(odd), "of shape [15, 2] does not fit the model's 4 heads");
    GgufMaker control;
    control.Text("general.type", "adapter");
    control.Text("adapter.type", "control_vector");
    CheckMentions(FaultOf(control), "is \"control_vector\"; graft reads lora");
    GgufMaker activated;
    AddStart(&activated);
    activated.Integers("adapter.alora.invocation_tokens", {1, 2});
    CheckMentions(FaultOf(activated), "makes this an activated LoRA");
    GgufMaker silent;
    silent.Text("general.type", "adapter");
    silent.Text("adapter.type", "lora");
    silent.Text("general.architecture", "llama");
    CheckMentions(FaultOf(silent), "setting 'adapter.lora.alpha' is missing");
    CheckMentions(MergeFault(TestData("gguf/llama.gguf"), TestData("gguf/bert.gguf")),
                  "is a GGUF file of a model and no adapter");
  }
}

}  // namespace
}  // namespace graft::converter
