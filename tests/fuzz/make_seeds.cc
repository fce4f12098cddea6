// SPDX-License-Identifier: Apache-2.0
// make_seeds FOLDER: writes what fuzzing begins with, a folder for each target that begins with
// more than nothing.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/packs/entropy_encoder.h"
#include "converter/packs/prefix_encoder.h"
#include "converter/packs/sparse_encoder.h"
#include "converter/sign/file_digests.h"
#include "converter/sign/keys.h"
#include "schema/packs/pack.h"
#include "tests/fuzz/support/fuzz_models.h"
#include "tests/runtime/c_api/task_models.h"
#include "tests/support/gguf_maker.h"
#include "tests/support/picture_model.h"

namespace {

namespace fb = graft::schema::fb;
namespace fs = std::filesystem;
using graft::test::AlignedBytes;

const fs::path kData = GRAFT_TEST_DATA;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}
  void Add(const std::string& target, std::string_view bytes) {
    const fs::path folder = folder_ / target;
    fs::create_directories(folder);
    std::ofstream(folder / std::to_string(count_++), std::ios::binary) << bytes;
  }
  void Add(const std::string& target, const AlignedBytes& bytes) {
    Add(target, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

 private:
  fs::path folder_;
  int count_ = 0;
};

void AddModels(Seeds& seeds) {
  for (const char* target : {"run_model", "model"}) {
    seeds.Add(target, graft::fuzz::PackedModel());
    for (const fb::TaskKind task :
         {fb::TaskKind::Embedding, fb::TaskKind::Classification, fb::TaskKind::TokenClassification})
      seeds.Add(target, graft::test::TextTaskModel(task));
    seeds.Add(target, graft::test::ImageTaskModel(fb::TaskKind::Classification));
    seeds.Add(target, graft::test::SourceTaskModel());
    seeds.Add(target, graft::test::SoundTaskModel());
    seeds.Add(target, graft::test::PictureModel().Build());
  }
}

void AddQuantized(Seeds& seeds) {
  for (const auto& entry : fs::directory_iterator(kData / "quantized")) {
    if (!entry.is_directory()) continue;
    seeds.Add("quantized_weights", ReadFile(entry.path() / "config.json") + std::string(1, '\0') +
                                       ReadFile(entry.path() / "model.safetensors"));
  }
}

void AddSession(Seeds& seeds) {
  const graft::fuzz::OpenedModel opened(graft::fuzz::PackedModel());
  const int32_t ids[] = {1, 5, 6, 7, 5, 6, 7, 5, 6, 7};
  const std::string path = graft::fuzz::Folder() + "/saved";
  for (const size_t count : {0u, 1u, 10u}) {
    if (graft_session_reset(opened.session(), nullptr) != GRAFT_OK ||
        graft_session_append(opened.session(), ids, count, nullptr, nullptr) != GRAFT_OK ||
        graft_session_save(opened.session(), path.c_str(), nullptr) != GRAFT_OK)
      continue;
    seeds.Add("saved_session", ReadFile(path));
  }
}

// Files of tests/data of this name, no longer than `limit`.
void AddFiles(Seeds& seeds, const std::string& target, std::string_view ending, size_t limit,
              std::string_view after = {}) {
  for (const auto& entry : fs::recursive_directory_iterator(kData)) {
    if (!entry.is_regular_file() || entry.file_size() > limit) continue;
    if (!entry.path().string().ends_with(ending)) continue;
    seeds.Add(target, ReadFile(entry.path()).append(after));
  }
}

void AddTexts(Seeds& seeds) {
  using std::string_view_literals::operator""sv;
  AddFiles(seeds, "tokenizer", "/tokenizer.json", 1 << 16, "\0Hello, world!  1234 \xc3\xa9"sv);
  AddFiles(seeds, "tokenizer_json", "/tokenizer.json", 1 << 16);
  AddFiles(seeds, "chat_template", ".jinja", 1 << 14, "\0Hello"sv);
  AddFiles(seeds, "sentencepiece", "/tokenizer.model", 1 << 18);
  AddFiles(seeds, "model_config", "/config.json", 1 << 14);
  AddFiles(seeds, "settings", "/preprocessor_config.json", 1 << 14);
  AddFiles(seeds, "settings", "/adapter_config.json", 1 << 14);
  AddFiles(seeds, "adapter_config", "/adapter_config.json", 1 << 14);
  AddFiles(seeds, "gguf", ".gguf", 1 << 16);
  AddFiles(seeds, "layer_stack", "/graft.json", 1 << 14);
}

// A file with two blocks of each type, and an adapter.
void AddGgufs(Seeds& seeds) {
  constexpr uint32_t kMostTypes = 64;
  for (uint32_t number = 0; number < kMostTypes; ++number) {
    const graft::converter::GgufType* type = graft::converter::FindGgufType(number);
    if (type == nullptr) continue;
    graft::converter::GgufMaker file;
    file.Text("general.architecture", "llama");
    std::string blocks(2 * static_cast<size_t>(type->block_bytes), '\0');
    for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<char>(37 * i + 11);
    file.Tensor("blk.0.ffn_up.weight", number, {2, type->block_elements}, blocks);
    seeds.Add("gguf", file.Bytes());
  }
  graft::converter::GgufMaker adapter;
  adapter.Text("general.architecture", "llama");
  adapter.Text("general.type", "adapter");
  adapter.Text("adapter.type", "lora");
  adapter.Number("adapter.lora.alpha", 4.0f);
  adapter.Floats32("blk.0.ffn_up.weight.lora_a", {2, 4}, std::vector<float>(8, 0.5f));
  adapter.Floats32("blk.0.ffn_up.weight.lora_b", {6, 2}, std::vector<float>(12, 0.25f));
  seeds.Add("gguf", adapter.Bytes());
}

// A constraint of each kind, and what chooses tokens.
void AddConstraints(Seeds& seeds) {
  constexpr std::string_view kSchemas[] = {
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":9},"b":{"type":"integer","minimum":-3,"maximum":120}},"required":["a"]})",
      R"({"oneOf":[{"type":"object","required":["a"]},{"type":"object","required":["b"]}],"patternProperties":{"^i":{"multipleOf":7}}})",
      R"({"$defs":{"t":{"type":"array","items":{"$ref":"#/$defs/t"},"maxItems":3}},"$ref":"#/$defs/t"})",
      R"({"anyOf":[{"type":"string","pattern":"^[a-c]+$","minLength":2},{"format":"date-time"},{"enum":[1,"x",null]}]})"};
  for (const std::string_view schema : kSchemas) {
    for (const char kind : {0, 1}) {
      seeds.Add("constraint", std::string(1, kind) + std::string(schema) + '\0' + "abc123\xff");
    }
  }
  for (const char* regex : {"^[^a-z\\d]{2,5}(?:x|y+)*$", "(?!ab)\\w+\\s.", "a{0,4000000000}b"}) {
    seeds.Add("constraint", std::string(1, 2) + regex + '\0' + "abc123\xff");
  }
  for (const char* grammar :
       {"root ::= \"(\" root? \")\" | [0-9]+", "root ::= a{2,3} # b\na ::= [^x]"}) {
    seeds.Add("constraint", std::string(1, 3) + grammar + '\0' + "abc123\xff");
  }
}

void AddSignatures(Seeds& seeds) {
  for (const auto& entry : fs::directory_iterator(kData / "signatures")) {
    seeds.Add("signature", ReadFile(entry.path()));
  }
  const auto key = graft::converter::PrivateKey::Generate(graft::converter::KeyKind::kEd25519);
  const std::string file(100, 'x');
  const auto digests =
      graft::converter::DigestFile({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, 1);
  const fs::path path = fs::temp_directory_path() / "graft-seed.sig";
  if (!key.ok() || !digests.ok() || !graft::converter::WriteSignature(*digests, *key, path).ok()) {
    return;
  }
  seeds.Add("signature", ReadFile(path));
  fs::remove(path);
}

// Replies with thinking and calls, and tools, for each format.
void AddReplies(Seeds& seeds) {
  constexpr std::string_view kReplies[] = {
      "<think>a</think>b<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": "
      "\"1\"}}\n</tool_call>",
      "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"b\": [1.5, "
      "null]}}",
      "[THINK]a[/THINK][TOOL_CALLS]f[CALL_ID]123456789[ARGS]{\"a\": {}}[TOOL_CALLS][{\"name\": "
      "\"g\", \"arguments\": {}}]",
      "<start_function_call>call:f{a:<escape>b<escape>,c:[1,{d:true}]}<end_function_call>",
      "<|channel>thought\na<channel|><|tool_call>call:g{a:<|\"|>b<|\"|>}<tool_call|>",
      "<|tool_call_start|>[f(a='b\\n', c=[1, None]), g()]<|tool_call_end|>x",
      "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
      "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>"};
  constexpr std::string_view kTools =
      R"([{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string","maxLength":4},"b":{"enum":[1,"x"]},"c":{"type":"boolean"},"d":{"type":"array","items":{"type":"string","pattern":"^[a-c]+$"},"maxItems":2},"e":{"type":"object","properties":{"k":{"type":"integer","maximum":9}},"required":["k"]}},"required":["a"]}},{"type":"function","function":{"name":"g"}}])";
  for (char format = 0; format < 13; ++format) {
    for (const std::string_view reply : kReplies) {
      seeds.Add("reply", std::string({format, '\x06'}) + std::string(reply));
    }
    for (char order = 0; order < 2; ++order) {
      const auto first = static_cast<char>(2 * format + order);
      seeds.Add("tools", std::string({first, 'q'}) + std::string(kTools));
    }
  }
}

// The size of the result and of the blocks, a version before the last one, blocks, index: one block,
// which begins with the base's bytes from 4,096 on. And its coded bytes alone.
void AddPack(uint8_t unit, uint8_t older, std::span<const uint8_t> coded, Seeds& seeds) {
  const size_t planes = graft::schema::PlanesOf(static_cast<graft::schema::PackUnit>(unit));
  std::vector<uint8_t> block;
  for (size_t i = 0; i < planes; ++i) {
    graft::converter::PutNumber(coded.size(), &block);
    block.insert(block.end(), coded.begin(), coded.end());
  }
  std::vector<uint8_t> index = {1, static_cast<uint8_t>(unit | 16)};
  graft::converter::PutNumber(8192, &index);
  graft::converter::PutSigned(4096, &index);
  graft::converter::PutNumber(block.size(), &index);
  index.resize(index.size() + 8);  // a checksum
  std::string seed = {0, 0x20, 0, static_cast<char>(block.size() & 0xFF),
                      static_cast<char>(block.size() >> 8 | older << 6)};
  seed.append(block.begin(), block.end()).append(index.begin(), index.end());
  seeds.Add("pack", seed);
  seeds.Add("pack", {reinterpret_cast<const char*>(coded.data()), coded.size()});
}

void AddPacks(Seeds& seeds) {
  for (const uint8_t unit : {1, 2, 3, 4}) {
    for (const size_t apart : {1, 2, 3, 40, 5000}) {
      const size_t planes = graft::schema::PlanesOf(static_cast<graft::schema::PackUnit>(unit));
      std::vector<uint8_t> plane(8192 / planes);
      // Where nothing is zero almost all is one, which is for the range coder.
      for (size_t i = apart / 2; i < plane.size(); i += apart)
        plane[i] = static_cast<uint8_t>(apart == 1 ? 1 + i % 29 / 28 : 1 + i % 7);
      std::vector<uint8_t> best, sparse, huffman;
      graft::converter::EncodeBytes(plane, &best);
      graft::converter::EncodeSparse(plane, &sparse);
      graft::converter::EncodeHuffman(plane, &huffman);
      AddPack(unit, 0, best, seeds);
      AddPack(unit, 0, huffman, seeds);
      AddPack(unit, 1, sparse, seeds);
      if (apart == 1) AddPack(unit, 2, best, seeds);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "make_seeds FOLDER\n");
    return 1;
  }
  Seeds seeds(argv[1]);
  AddModels(seeds);
  AddQuantized(seeds);
  AddSession(seeds);
  AddTexts(seeds);
  AddGgufs(seeds);
  AddConstraints(seeds);
  AddSignatures(seeds);
  AddReplies(seeds);
  // A mask, ids and types of two texts; an image; numbers out of range.
  seeds.Add("forward_inputs",
            std::string_view("\1\0\1\2\2\4\5\6\7\1\2\3\1\1\1\2\2\4\1\1\1\0\1\1", 24));
  seeds.Add("forward_inputs", std::string_view("\0\0\1\1\3\5\6\7", 8));
  seeds.Add("forward_inputs", std::string_view("\4\6\0\3\3\6\4\1\2\3", 10));
  AddPacks(seeds);
  seeds.Add("packed_weights", std::string_view("\x10\0\0\1\xff", 5));
  seeds.Add("packed_weights", std::string_view("\0\x40\0\0", 4));
  return 0;
}
