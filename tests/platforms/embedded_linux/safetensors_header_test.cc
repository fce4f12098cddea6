// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/inputs/safetensors_header.h"

#include <random>

#include <doctest/doctest.h>

namespace graft_run {
namespace {

constexpr char kHeader[] =
    R"({"__metadata__":{"format":"pt","n":[1,{"a":null}]}, "x": {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "ids":{"dtype":"I64","shape":[],"data_offsets":[24,32],"more":true}} )";

TEST_SUITE("platforms/safetensors_header") {
  TEST_CASE("reads names, types, shapes and places") {
    std::vector<TensorEntry> tensors;
    CHECK(ParseSafetensorsHeader(kHeader, 32, &tensors) == "");
    REQUIRE(tensors.size() == 2);
    CHECK(tensors[0].name == "x");
    CHECK(tensors[0].dtype == "F32");
    CHECK(tensors[0].shape == std::vector<int64_t>{2, 3});
    CHECK(tensors[1].name == "ids");
    CHECK(tensors[1].shape.empty());
    CHECK(tensors[1].begin == 24);
    CHECK(tensors[1].end == 32);
  }

  TEST_CASE("reads what it writes") {
    std::vector<TensorEntry> tensors = {{"a\"b\\c", "F32", {1, 2}, 0, 8},
                                        {"logits", "I32", {3}, 8, 20}};
    const std::string json = MakeSafetensorsHeader(tensors);
    CHECK(json.size() % 8 == 0);
    std::vector<TensorEntry> read;
    CHECK(ParseSafetensorsHeader(json, 20, &read) == "");
    REQUIRE(read.size() == 2);
    CHECK(read[0].name == tensors[0].name);
    CHECK(read[1].shape == tensors[1].shape);
    CHECK(read[1].end == 20);
  }

  TEST_CASE("places that lie outside, and sizes that do not fit, are refused") {
    const auto problem = [](const std::string& tensor) {
      std::vector<TensorEntry> tensors;
      return ParseSafetensorsHeader("{\"x\":" + tensor + "}", 100, &tensors);
    };
    CHECK(problem(R"({"dtype":"F32","shape":[25],"data_offsets":[0,100]})") == "");
    CHECK(problem(R"({"dtype":"F32","shape":[26],"data_offsets":[0,104]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[24],"data_offsets":[0,100]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[1],"data_offsets":[100,96]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]})") !=
          "");
    CHECK(problem(R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})") != "");
    CHECK(problem(R"({"dtype":"F32","shape":[1]})") != "");
    CHECK(problem(std::string(100000, '[')) != "");
  }

  TEST_CASE("no cut or flipped header crashes the reader") {
    const std::string whole = kHeader;
    for (size_t size = 0; size + 2 < whole.size(); ++size) {
      std::vector<TensorEntry> tensors;
      CHECK(ParseSafetensorsHeader(whole.substr(0, size), 32, &tensors) != "");
    }
    std::mt19937 random(2);
    for (int round = 0; round < 20000; ++round) {
      std::string broken = whole;
      broken[random() % broken.size()] = static_cast<char>(random());
      std::vector<TensorEntry> tensors;
      if (!ParseSafetensorsHeader(broken, 32, &tensors).empty()) continue;
      for (const TensorEntry& entry : tensors) CHECK(entry.end <= 32);
    }
  }
}

}  // namespace
}  // namespace graft_run
