// SPDX-License-Identifier: Apache-2.0
// Files that stand where weights or JSON were meant: each refused by what it is and what to do.
#include <doctest/doctest.h>

#include "converter/adapter/adapter_file.h"
#include "converter/checkpoint/checkpoint.h"
#include "converter/json/json.h"
#include "converter/merge/kinds/adapter_kinds.h"
#include "tests/support/mentions.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

using namespace std::string_literals;

constexpr const char* kPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:abababababababababababababababab\n"
    "size 4512345678\n";

std::string FaultOf(const std::filesystem::path& path) {
  const auto checkpoint = Checkpoint::Open(path);
  return checkpoint.ok() ? "" : std::string(checkpoint.status().message());
}

TEST_SUITE("converter/foreign_file") {
  TEST_CASE("a file of weights that is something else is called by its name") {
    std::string tar(600, 'x');
    tar.replace(257, 5, "ustar");
    const struct {
      std::string bytes;
      const char* what;
    } kCases[] = {
        {kPointer,
         "is a Git LFS pointer that stands for a file that was not downloaded; run "
         "`git lfs pull`"},
        {"GGUF\3\0\0\0\1\0\0\0\0\0\0\0"s, "is not a sound GGUF file"},
        {"tjgg\1\0\0\0"s, "is a file of llama.cpp from before GGUF"},
        {"", "is empty; its download did not finish"},
        {"<!DOCTYPE html>\n<html class=\"\">", "is a web page"},
        {"\n  <HTML>", "is a web page"},
        {"\xEF\xBB\xBF<?xml version=\"1.0\"?><Error>", "is a web page"},
        {"\x1F\x8B\x08\0\0\0\0\0"s, "is an archive; unpack it"},
        {"7z\xBC\xAF\x27\x1C\0\4"s, "is an archive; unpack it"},
        {tar, "is an archive; unpack it"},
        {"\x89HDF\r\n\x1A\n"s, "is an HDF5 file of Keras or TensorFlow"},
        {"\x93NUMPY\1\0"s, "is a NumPy array"},
        {"\x1C\0\0\0TFL3"s, "is a TensorFlow Lite model"},
        {"\x08\x08\x12\x07pytorch"s, "is an ONNX model"},
        {"\6\0\0\0\x0C\0WhisperSpec\0\3\0\0\0"s, "is a model of CTranslate2 (faster-whisper)"},
        {"\x89GRAFT\r\n"s, "is a .graft file, which is what comes out"},
    };
    const TemporaryFolder folder;
    for (const auto& c : kCases) {
      for (const char* name : {"model.safetensors", "pytorch_model.bin"}) {
        WriteText(folder / name, c.bytes);
        CheckMentions(FaultOf(folder / name), std::string(name) + ": " + c.what);
        std::filesystem::remove(folder / name);
      }
    }
    WriteText(folder / "model.safetensors", "PK\3\4\0\0\x08\x08"s);
    CheckMentions(FaultOf(folder.path()), "is a zip file and no safetensors file");
    WriteText(folder / "weights.bin", RawSafetensors("{}", ""));
    CheckMentions(FaultOf(folder / "weights.bin"), "seems to be a safetensors file");
  }

  TEST_CASE("so are an adapter's weights and any JSON or text") {
    const TemporaryFolder folder;
    WriteText(folder / "adapter_config.json", R"({"peft_type": "LORA"})");
    WriteText(folder / "adapter_model.safetensors", kPointer);
    const auto adapter = AdapterFile::Open(folder.path(), AllAdapterKinds());
    CheckMentions(std::string(adapter.status().message()), "is a Git LFS pointer");
    WriteText(folder / "lora.gguf", "GGUF\3\0\0\0"s);
    CheckMentions(
        std::string(AdapterFile::Open(folder / "lora.gguf", AllAdapterKinds()).status().message()),
        "is not a sound GGUF file");
    for (const char* bytes : {kPointer, "", "<html>"}) {
      WriteText(folder / "tokenizer.json", bytes);
      const auto document = JsonDocument::Read(folder / "tokenizer.json");
      CheckMentions(std::string(document.status().message()), "tokenizer.json: is ");
    }
    WriteText(folder / "merges.txt", kPointer);
    CheckMentions(std::string(ReadTextFile(folder / "merges.txt", 1000).status().message()),
                  "is a Git LFS pointer");
    WriteText(folder / "merges.txt", "");
    CHECK(ReadTextFile(folder / "merges.txt", 1000).ok());
    CheckMentions(std::string(ReadTextFile(folder / "lora.gguf", 3).status().message()),
                  "8 bytes, more than the limit of 3");
  }

  TEST_CASE("a folder of other programs' files says which") {
    for (const char* name : {"model.onnx", "tf_model.h5", "flax_model.msgpack",
                             "consolidated.00.pth", "weights.npz"}) {
      const TemporaryFolder folder;
      WriteText(folder / "config.json", "{}");
      WriteText(folder / name, "x");
      CheckMentions(FaultOf(folder.path()),
                    "holds " + std::string(name) + ", which graft does not");
    }
    const TemporaryFolder faster_whisper;
    WriteText(faster_whisper / "config.json", "{}");
    WriteText(faster_whisper / "model.bin", "\6\0\0\0\x0C\0WhisperSpec\0"s);
    CheckMentions(FaultOf(faster_whisper.path()), "model.bin: is a model of CTranslate2");
    const TemporaryFolder gguf;
    WriteText(gguf / "model-Q4_K_M.gguf", "x");
    CheckMentions(FaultOf(gguf.path()), "model-Q4_K_M.gguf: is not a sound GGUF file");
    WriteText(gguf / "model-Q8_0.gguf", "x");
    CheckMentions(FaultOf(gguf.path()),
                  "holds 2 GGUF models (model-Q4_K_M.gguf, model-Q8_0.gguf); name the file of one");
    const TemporaryFolder broken;
    std::filesystem::create_symlink("../../blobs/nothing", broken / "model.safetensors");
    CheckMentions(FaultOf(broken.path()),
                  "its model.safetensors is a link to a file that is not there");
  }
}

TEST_SUITE("converter/refused_codes") {
  const std::string kFour(4, '\0');

  std::string Refused(const std::string& header, std::string_view config) {
    const TemporaryFolder folder;
    WriteText(folder / "model.safetensors", RawSafetensors(header, kFour));
    if (!config.empty()) WriteText(folder / "config.json", config);
    return FaultOf(folder.path());
  }

  std::string Header(const std::string& name, const std::string& type, int count) {
    return "{\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + std::to_string(count) +
           "],\"data_offsets\":[0,4]}}";
  }

  TEST_CASE("types that are not read are explained by config.json") {
    CheckMentions(
        Refused(Header("a", "F4", 8), R"({"quantization": {"bits": 4}})"),
        "'F4', which graft does not read; the checkpoint is quantized by mlx-lm to 4 bits "
        "('quantization' in config.json), which graft does not read in this form; start "
        "from the unquantized checkpoint that it was made from, or undo it with "
        "`mlx_lm.convert --dequantize`");
    CheckMentions(
        Refused(Header("a", "F4", 8), R"({"quantization_config": {"quant_method": "x"}})"),
        "quantized by x ('quantization_config' in config.json)");
    CheckMentions(Refused(Header("a", "F6_E2M3", 4), ""), "such tensors hold quantized weights");
    CheckMentions(Refused(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,4]}})", "{}"),
                  "'C64', which graft does not read");
  }

  TEST_CASE("codes of which the rest is missing are told by their names") {
    CheckMentions(Refused(Header("m.q_proj.qweight", "I32", 1),
                          R"({"quantization_config": {"quant_method": "gptq", "bits": 4}})"),
                  "its tensor 'm.q_proj.qweight' belongs to weights quantized by gptq "
                  "('quantization_config' in config.json)");
    CheckMentions(Refused(Header("m.q_proj.qzeros", "I32", 1),
                          R"({"quantization_config": {"quant_method": "awq"}})"),
                  "quantized by awq");
    CheckMentions(Refused(Header("m.q_proj.qweight", "I32", 1), ""), "quantized by GPTQ or AWQ");
    CheckMentions(Refused(Header("m.q.weight.absmax", "U8", 4),
                          R"({"quantization_config": {"load_in_4bit": true}})"),
                  "quantized by bitsandbytes ('quantization_config' in config.json), which graft "
                  "does not read in this form; start from the unquantized checkpoint that it was "
                  "made from, or dequantize it in transformers");
    CheckMentions(Refused(Header("m.q.weight.absmax", "F32", 1), ""), "by bitsandbytes");
    CheckMentions(Refused(Header("m.q.SCB", "F32", 1), ""), "by bitsandbytes");
    CheckMentions(Refused(Header("m.q.weight_packed", "I32", 1), ""), "by compressed-tensors");
    CheckMentions(Refused(Header("m.gate_up_proj_blocks", "U8", 4),
                          R"({"quantization_config": {"quant_method": "mxfp4"}})"),
                  "quantized by mxfp4");
    CheckMentions(Refused(Header("m.q._weight_qdata", "U8", 4), ""), "quantized by torchao");
  }

  TEST_CASE("methods of other programs are refused by name") {
    for (const char* method :
         {"exl2", "hqq", "aqlm", "vptq", "higgs", "spqr", "quip", "bitnet", "eetq"}) {
      const TemporaryFolder folder;
      WriteTensors(folder / "model.safetensors",
                   {{"m.q.weight", {{2, 2}, {1, 2, 3, 4}, DType::kFloat32}},
                    {"m.codes", {{2, 2}, {1, 2, 3, 4}, DType::kInt8}}});
      WriteText(folder / "config.json",
                "{\"quantization_config\": {\"quant_method\": \"" + std::string(method) + "\"}}");
      CheckMentions(FaultOf(folder.path()), "'m.codes' belongs to weights quantized by " +
                                                std::string(method) +
                                                " ('quantization_config' in config.json), whose "
                                                "codes graft does not read; start from the");
    }
    CheckMentions(Refused(Header("m.q.W_q", "U8", 4), ""), "quantized by HQQ");
    CheckMentions(Refused(Header("m.q.q_weight", "I32", 1), ""), "quantized by EXL2");
    CheckMentions(Refused(Header("m.q.codebooks", "F32", 1), ""), "quantized by AQLM");
  }

  TEST_CASE("a configuration that stayed behind says nothing about weights that are floats") {
    for (const char* method : {"gptq", "hqq", "bitsandbytes"}) {
      CHECK(
          Refused(Header("m.q.weight", "F32", 1),
                  "{\"quantization_config\": {\"quant_method\": \"" + std::string(method) + "\"}}")
              .empty());
    }
    CHECK(Refused(Header("embeddings.position_ids", "I32", 1), "{}").empty());
  }
}

}  // namespace
}  // namespace graft::converter
