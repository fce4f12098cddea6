// SPDX-License-Identifier: Apache-2.0
// Times a tokenizer.json on a text: tokenizer_bench TOKENIZER_FOLDER TEXT_FILE ROUNDS [PIECE_BYTES]
// prints one line of JSON: ids, a checksum of them, and the seconds of each round. The text is
// given in pieces that end with a line, of about PIECE_BYTES (0: whole). tokenizers.py sets it
// beside Hugging Face's.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "runtime/tokenizer/tokenizer.h"
#include "schema/generated/tokenizer_generated.h"

namespace {

std::vector<std::string> CutAtLines(const std::string& text, size_t piece_bytes) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size();) {
    size_t end = piece_bytes == 0 ? std::string::npos : text.find('\n', at + piece_bytes);
    end = end == std::string::npos ? text.size() : end + 1;
    pieces.push_back(text.substr(at, end - at));
    at = end;
  }
  return pieces;
}

int Fail(const graft::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  flatbuffers::FlatBufferBuilder builder;
  const auto built =
      graft::converter::BuildTokenizer(builder, std::string(argv[1]), {.keeps_truncation = false});
  if (!built.ok()) return Fail(built.status());
  builder.Finish(*built);
  const auto* tables =
      flatbuffers::GetRoot<graft::schema::fb::Tokenizer>(builder.GetBufferPointer());
  const auto tokenizer = graft::runtime::Tokenizer::Create(*tables);
  if (!tokenizer.ok()) return Fail(tokenizer.status());
  const auto text = graft::converter::ReadTextFile(argv[2], uint64_t{1} << 30);
  if (!text.ok()) return Fail(text.status());
  const std::vector<std::string> pieces =
      CutAtLines(*text, argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 0);
  std::string seconds;
  size_t count = 0;
  uint64_t checksum = 0;
  for (int round = 0; round < std::atoi(argv[3]); ++round) {
    count = 0;
    checksum = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& piece : pieces) {
      const auto ids = (*tokenizer)->Encode(piece, false);
      if (!ids.ok()) return Fail(ids.status());
      count += ids->size();
      for (const int32_t id : *ids)
        checksum = (checksum * 31 + static_cast<uint64_t>(id)) % 4294967291U;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    seconds += (seconds.empty() ? "" : ", ") + std::to_string(took.count());
  }
  std::printf("{\"ids\": %zu, \"checksum\": %llu, \"seconds\": [%s]}\n", count,
              static_cast<unsigned long long>(checksum), seconds.c_str());
  return 0;
}
