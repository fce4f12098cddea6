// SPDX-License-Identifier: Apache-2.0
// GGUF: blocks become the numbers that the reference makes of them, and no file, however bent, is
// believed beyond its bytes.
#include "converter/formats/gguf/gguf_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include <doctest/doctest.h>

#include "converter/formats/safetensors.h"
#include "tests/support/gguf_maker.h"
#include "tests/support/small_files.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

std::string FaultOf(const std::string& bytes) {
  const TemporaryFolder folder;
  WriteText(folder / "t.gguf", bytes);
  const auto file = GgufFile::Open(folder / "t.gguf");
  if (file.ok()) {
    // What is accepted can be read.
    for (const auto& entry : (*file)->entries()) {
      if (entry.info.row_elements() > (1 << 12) || entry.info.rows() == 0) continue;
      std::vector<double> row(static_cast<size_t>(entry.info.row_elements()));
      CHECK((*file)->ReadRows(entry, entry.info.rows() - 1, entry.info.rows(), row).ok());
    }
    return "";
  }
  const std::string message(file.status().message());
  CHECK(message.find("t.gguf") != std::string::npos);
  CHECK(file.status().code() != StatusCode::kInternal);
  return message;
}

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Three blocks of each type, with the numbers that the package gguf makes of them.
struct Blocks {
  std::string type;
  std::string bytes;
  std::vector<double> numbers;
};

std::vector<Blocks> ReadBlocks() {
  const auto file = SafetensorsFile::Open(fs::path(GRAFT_TEST_DATA) / "gguf/blocks.safetensors");
  REQUIRE(file.ok());
  std::vector<Blocks> all;
  for (const auto& entry : (*file)->entries()) {
    const std::string& name = entry.info.name;
    if (!name.ends_with(".bytes")) continue;
    Blocks& blocks = all.emplace_back();
    blocks.type = name.substr(0, name.find('.'));
    std::vector<uint8_t> bytes(entry.size_bytes);
    REQUIRE((*file)->ReadBytes(entry, 0, bytes).ok());
    blocks.bytes.assign(bytes.begin(), bytes.end());
    const auto* numbers = (*file)->Find(blocks.type + ".numbers");
    REQUIRE(numbers != nullptr);
    blocks.numbers.resize(numbers->size_bytes / 4);
    REQUIRE((*file)->ReadElements(*numbers, 0, blocks.numbers).ok());
  }
  return all;
}

std::string SmallFile() {
  GgufMaker maker;
  maker.Text("general.architecture", "llama");
  maker.Integer("llama.block_count", 2);
  maker.Texts("tokenizer.ggml.tokens", {"a", "b", "\xE2\x96\x81"});
  maker.Floats("tokenizer.ggml.scores", {0.0f, -1.0f, -2.5f});
  maker.Floats32("norm", {3}, {1.0f, 2.0f, 3.0f});
  maker.Tensor("m", 2, {2, 32}, std::string(36, '\x3C'));
  return maker.Bytes();
}

TEST_SUITE("converter/gguf_file") {
  TEST_CASE("makes of blocks of every type what the reference makes, bit for bit") {
    const std::vector<Blocks> all = ReadBlocks();
    CHECK(all.size() == 16);
    GgufMaker maker;
    for (const Blocks& blocks : all) {
      const auto count = static_cast<int64_t>(blocks.numbers.size());
      maker.TensorOfType(blocks.type, blocks.type, {count}, blocks.bytes);
    }
    const TemporaryFolder folder;
    WriteText(folder / "t.gguf", maker.Bytes());
    const auto file = GgufFile::Open(folder / "t.gguf");
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    for (const Blocks& blocks : all) {
      INFO(blocks.type);
      const auto* entry = (*file)->Find(blocks.type);
      REQUIRE(entry != nullptr);
      CHECK(entry->info.dtype == DType::kFloat32);
      std::vector<double> numbers(blocks.numbers.size());
      REQUIRE((*file)->ReadElements(*entry, 0, numbers).ok());
      CHECK(numbers == blocks.numbers);
      // From within a block into the next.
      std::vector<double> some(numbers.size() / 2);
      REQUIRE((*file)->ReadElements(*entry, 5, some).ok());
      CHECK(std::equal(some.begin(), some.end(), blocks.numbers.begin() + 5));
      std::vector<uint8_t> bytes(numbers.size() * 4);
      REQUIRE((*file)->ReadBytes(*entry, 0, bytes).ok());
      float first = 0;
      std::memcpy(&first, bytes.data() + 4, 4);
      CHECK(static_cast<double>(first) == blocks.numbers[1]);
    }
  }

  TEST_CASE("shows tensors in another order than they are stored in") {
    GgufMaker maker;
    std::vector<float> numbers(12);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
    maker.Floats32("t", {12, 1}, numbers);
    maker.Floats32("m", {3, 4}, numbers);
    std::vector<float> twenties(12);
    for (size_t i = 0; i < twenties.size(); ++i) twenties[i] = static_cast<float>(20 + i);
    maker.Floats32("gates", {2, 3, 2}, numbers);
    maker.Floats32("ups", {2, 3, 2}, twenties);
    const TemporaryFolder folder;
    WriteText(folder / "t.gguf", maker.Bytes());
    using Order = GgufLayout::Order;
    using Join = GgufLayout::Join;
    struct Case {
      const char* name;
      size_t tensor;
      GgufLayout layout;
      std::vector<double> shown;
    };
    const std::vector<Case> cases = {
        // Heads of four rows: stored 0, 2, 1, 3.
        {"halves",
         0,
         {.order = Order::kHalves, .heads = 3},
         {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11}},
        {"one", 0, {.order = Order::kHalves, .heads = 1}, {0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}},
        {"heads",
         0,
         {.order = Order::kByHead, .heads = 2, .parts = 3},
         {0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11}},
        {"columns", 1, {.order = Order::kColumns}, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
        {"added", 1, {.added = -1.0}, {-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
        {"zeros", 1, {.zero_rows = 1}, {0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
        {"one expert", 2, {.slice = 1}, {6, 7, 8, 9, 10, 11}},
        {"one row", 1, {.slice = 1}, {4, 5, 6, 7}},
        {"an axis more", 1, {.inserted = 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
        {"gates and ups",
         2,
         {.join = Join::kBehind, .joined = 3},
         {0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25, 6, 7, 8, 9, 10, 11, 26, 27, 28, 29, 30, 31}},
        {"gates and ups in turn",
         2,
         {.order = Order::kColumns, .join = Join::kInTurn, .joined = 3},
         {0, 20, 2, 22, 4, 24, 1, 21, 3, 23, 5, 25, 6, 26, 8, 28, 10, 30, 7, 27, 9, 29, 11, 31}},
        {"numbers in turn", 1, {.join = Join::kInTurn, .joined = 1}, {0, 0, 1, 1, 2,  2,  3,  3,
                                                                      4, 4, 5, 5, 6,  6,  7,  7,
                                                                      8, 8, 9, 9, 10, 10, 11, 11}},
        {"matrices", 2, {.order = Order::kColumns}, {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}},
        // Four queries of each key.
        {"groups",
         0,
         {.order = Order::kByGroup, .heads = 2, .parts = 4},
         {0, 1, 2, 3, 8, 10, 4, 5, 6, 7, 9, 11}},
        {"heads behind others",
         0,
         {.order = Order::kByHead, .heads = 2, .parts = 2, .kept_rows = 4},
         {0, 1, 2, 3, 4, 5, 8, 9, 6, 7, 10, 11}},
        {"heads of columns",
         1,
         {.order = Order::kColumnsByHead, .heads = 2, .parts = 2},
         {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11}},
        {"one axis", 2, {.flat = true}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}};
    for (Case c : cases) {
      INFO(c.name);
      auto file = GgufFile::Open(folder / "t.gguf");
      REQUIRE(file.ok());
      c.layout.joined_file = file->get();
      REQUIRE((*file)->Show({{c.name, c.tensor, c.layout}}).ok());
      const auto* entry = (*file)->Find(c.name);
      REQUIRE(entry != nullptr);
      std::vector<double> shown(c.shown.size());
      REQUIRE((*file)->ReadRows(*entry, 0, entry->info.rows(), shown).ok());
      CHECK(shown == c.shown);
      for (size_t first = 0; first < shown.size(); ++first) {
        std::vector<double> rest(shown.size() - first);
        REQUIRE((*file)->ReadElements(*entry, static_cast<int64_t>(first), rest).ok());
        CHECK(
            std::equal(rest.begin(), rest.end(), c.shown.begin() + static_cast<ptrdiff_t>(first)));
      }
    }
    auto file = GgufFile::Open(folder / "t.gguf");
    REQUIRE(file.ok());
    const Status bad = (*file)->Show({{"t", 0, {.order = Order::kHalves, .heads = 5}}});
    CHECK(Mentions(std::string(bad.message()), "does not fit the model's 5 heads"));
    const std::pair<size_t, GgufLayout> misfits[] = {
        {0, {.slice = 12}},
        {1, {.slice = 3}},
        {2, {.join = Join::kBehind, .joined = 1}},
        {2, {.join = Join::kBehind, .joined = 99}},
        {2, {.slice = 0, .join = Join::kBehind, .joined = 3}},
        {2, {.join = Join::kInTurn, .joined = 3}},
        {1, {.inserted = 3}},
        {1, {.flat = true, .inserted = 1}},
        {2, {.order = Order::kColumns, .inserted = 4}},
        {0, {.order = Order::kByHead, .heads = 2, .kept_rows = 13}},
        {0, {.order = Order::kByGroup, .heads = 5}},
        {0, {.order = Order::kByGroup, .heads = 2, .parts = 0}},
        {1, {.order = Order::kColumnsByHead, .heads = 3}}};
    for (auto [tensor, layout] : misfits) {
      layout.joined_file = file->get();
      const Status misfit = (*file)->Show({{"t", tensor, layout}});
      CHECK(Mentions(std::string(misfit.message()), "does not fit the model's"));
    }
  }

  TEST_CASE("gives settings of the kinds they are of") {
    const TemporaryFolder folder;
    WriteText(folder / "t.gguf", SmallFile());
    const auto file = GgufFile::Open(folder / "t.gguf");
    REQUIRE(file.ok());
    const GgufHeader& header = (*file)->header();
    CHECK(*header.GetInt("llama.block_count") == 2);
    CHECK(*header.GetString("general.architecture") == "llama");
    CHECK(header.GetStrings("tokenizer.ggml.tokens")->at(2) == "\xE2\x96\x81");
    CHECK(*header.GetNumbers("tokenizer.ggml.scores") == std::vector<double>{0.0, -1.0, -2.5});
    CHECK(header.GetInt("none").status().code() == StatusCode::kNotFound);
    CHECK(header.GetInt("general.architecture").status().code() == StatusCode::kCorrupt);
    CHECK(header.GetString("llama.block_count").status().code() == StatusCode::kCorrupt);
    CHECK(header.GetInt("tokenizer.ggml.scores").status().code() == StatusCode::kCorrupt);
  }

  TEST_CASE("refuses a file cut short at any of its lengths") {
    const std::string whole = SmallFile();
    CHECK(FaultOf(whole).empty());
    for (size_t bytes = 0; bytes < whole.size(); bytes += test::StepOfAll(7)) {
      INFO(bytes);
      CHECK_FALSE(FaultOf(whole.substr(0, bytes)).empty());
    }
  }

  TEST_CASE("believes no byte that was changed") {
    const std::string whole = SmallFile();
    std::mt19937 random(5);
    for (size_t round = 0; round < 400; round += test::StepOfAll(7)) {
      std::string bent = whole;
      for (int change = 0; change < 3; ++change)
        bent[random() % bent.size()] = static_cast<char>(random());
      FaultOf(bent);
    }
  }

  TEST_CASE("says what is wrong") {
    const std::string whole = SmallFile();
    const auto with = [&whole](size_t at, std::string_view bytes) {
      std::string bent = whole;
      bent.replace(at, bytes.size(), bytes);
      return FaultOf(bent);
    };
    using namespace std::string_view_literals;
    CHECK(Mentions(with(0, "GGUX"), "is not a GGUF file"));
    CHECK(Mentions(with(4, "\0\0\0\x03"sv), "is a big-endian GGUF file"));
    CHECK(Mentions(with(4, "\x01\0\0\0"sv), "is a GGUF file of version 1; graft reads 2 and 3"));
    CHECK(with(4, "\x02\0\0\0"sv).empty());
    CHECK(Mentions(with(8, "\xFF\xFF\xFF\xFF\xFF"sv), "tensors and 4 settings, more than"));
    CHECK(Mentions(with(16, "\xFF\xFF\xFF"sv), "more than"));
    CHECK(Mentions(with(24, "\0\0\0\0"sv), "the key of a setting has 0 bytes"));
    CHECK(Mentions(with(24, "\0\0\0\x01"sv), "1 to 65535 may be"));

    const auto made = [](const auto& make) {
      GgufMaker maker;
      make(&maker);
      return FaultOf(maker.Bytes());
    };
    CHECK(Mentions(made([](GgufMaker* m) {
                     m->Integer("a", 1);
                     m->Integer("a", 2);
                   }),
                   "setting 'a' is there twice"));
    CHECK(Mentions(made([](GgufMaker* m) {
                     m->Floats32("t", {1}, {1.0f});
                     m->Floats32("t", {1}, {1.0f});
                   }),
                   "tensor 't' is there twice"));
    CHECK(Mentions(made([](GgufMaker* m) { m->Tensor("t", 12, {32}, std::string(144, 'x')); }),
                   "rows of 32 elements, which are no whole blocks of 256 (Q4_K)"));
    CHECK(Mentions(made([](GgufMaker* m) { m->Tensor("t", 16, {256}, std::string(66, 'x')); }),
                   "tensor 't' is of type IQ2_XXS, which graft does not read"));
    CHECK(Mentions(made([](GgufMaker* m) { m->Tensor("t", 5, {32}, std::string(66, 'x')); }),
                   "has the type number 5, which is not known"));
    CHECK(Mentions(made([](GgufMaker* m) {
                     m->Tensor("t", 0, {1, 1, 1, 1, 1}, "abcd");
                   }),
                   "has 5 dimensions"));
    CHECK(Mentions(made([](GgufMaker* m) {
                     m->Tensor("t", 0, {1 << 30, 1 << 30, 1 << 30}, "abcd");
                   }),
                   "impossible shape"));
    CHECK(Mentions(made([](GgufMaker* m) { m->Integer("general.alignment", 24); }),
                   "must be a power of two"));
    CHECK(made([](GgufMaker* m) {
            m->Integer("general.alignment", 64);
            m->SetAlignment(64);
            m->Floats32("t", {2}, {1.0f, 2.0f});
            m->Floats32("u", {2}, {1.0f, 2.0f});
          }).empty());
  }
}

}  // namespace
}  // namespace graft::converter
