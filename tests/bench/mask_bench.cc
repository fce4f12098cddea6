// SPDX-License-Identifier: Apache-2.0
// Runs MaskBench's files through our constraints: mask_bench TOKENIZER_FOLDER FILE...
// Each FILE is a JSON object with a "schema" and "tests", each with "data" and "valid". One line of
// JSON a file comes out: what became of it, the nanoseconds of compiling, and those of each mask.
// mask_bench.py runs it over a folder, with a limit on time, and adds up.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/tokenizer/tokenizer_json.h"
#include "runtime/constrain/characters.h"
#include "runtime/constrain/json/json_schema.h"
#include "runtime/constrain/json/json_tree.h"
#include "runtime/constrain/matcher.h"
#include "runtime/tokenizer/tokenizer.h"
#include "schema/generated/tokenizer_generated.h"

namespace {

using graft::runtime::JsonId;
using graft::runtime::JsonTree;
using graft::runtime::JsonType;

/// As Python's json.dumps writes it, with characters as they are.
std::string Dump(const JsonTree& tree, JsonId id) {
  std::string text;
  if (tree[id].type == JsonType::kArray) {
    for (const JsonId item : tree[id].items) text += (text.empty() ? "[" : ", ") + Dump(tree, item);
    return text.empty() ? "[]" : text + "]";
  }
  if (tree[id].type == JsonType::kObject) {
    for (const auto& [key, value] : tree[id].members) {
      text += (text.empty() ? "{" : ", ") + graft::runtime::QuoteJson(key) + ": ";
      text += Dump(tree, value);
    }
    return text.empty() ? "{}" : text + "}";
  }
  return tree.Text(id);
}

/// Of this thread: others may run beside it.
int64_t CpuNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

struct Run {
  std::string outcome = "pass";
  std::string detail;
  int64_t compile_ns = 0;
  std::vector<int64_t> mask_ns;
};

void RunTests(const JsonTree& tree, const graft::runtime::Tokenizer& tokenizer,
              graft::runtime::Matcher* matcher, Run* run) {
  const JsonId tests = tree.Find(0, "tests");
  for (size_t i = 0; i < tree[tests].items.size(); ++i) {
    const JsonId test = tree[tests].items[i];
    const std::string text = Dump(tree, tree.Find(test, "data"));
    const bool is_valid = tree[tree.Find(test, "valid")].type == JsonType::kTrue;
    const auto ids = tokenizer.Encode(text, false);
    if (!ids.ok()) continue;
    matcher->Restart();
    bool accepted = true;
    size_t passed = 0;
    for (const int32_t id : *ids) {
      const auto start = CpuNanoseconds();
      const auto mask = matcher->Mask();
      if (!mask.ok()) {
        run->outcome = "error";
        run->detail = std::string(mask.status().message());
        return;
      }
      accepted = graft::runtime::HasToken(**mask, static_cast<uint32_t>(id)) &&
                 matcher->AcceptToken(static_cast<uint32_t>(id));
      run->mask_ns.push_back(CpuNanoseconds() - start);
      if (!accepted) break;
      ++passed;
    }
    accepted = accepted && matcher->MayEnd();
    if (accepted == is_valid) continue;
    run->outcome = is_valid ? "validation" : "invalidation";
    const auto prefix = tokenizer.Decode(std::span(*ids).subspan(0, passed), false);
    run->detail = "test " + std::to_string(i) + ": " +
                  prefix->substr(prefix->size() - std::min<size_t>(120, prefix->size())) +
                  " <HERE> " + text.substr(std::min(text.size(), prefix->size()), 80);
    return;
  }
}

Run RunFile(const char* file, const graft::runtime::Tokenizer& tokenizer,
            const graft::runtime::Vocabulary& vocabulary) {
  Run run;
  std::ifstream stream(file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  const auto tree = JsonTree::Parse(text);
  if (!tree.ok()) {
    run.outcome = "unread";
    run.detail = std::string(tree.status().message());
    return run;
  }
  const std::string schema = Dump(*tree, tree->Find(0, "schema"));
  const auto start = CpuNanoseconds();
  auto grammar = graft::runtime::CompileJsonSchema(schema, /*in_order=*/false);
  if (!grammar.ok()) {
    run.outcome = "refused";
    run.detail = std::string(grammar.status().message());
    return run;
  }
  graft::runtime::Matcher matcher(std::move(*grammar), vocabulary);
  const auto first = matcher.Mask();
  run.compile_ns = CpuNanoseconds() - start;
  if (!first.ok()) {
    run.outcome = "error";
    run.detail = std::string(first.status().message());
    return run;
  }
  RunTests(*tree, tokenizer, &matcher, &run);
  return run;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  flatbuffers::FlatBufferBuilder builder;
  const auto built =
      graft::converter::BuildTokenizer(builder, std::string(argv[1]), {.keeps_truncation = false});
  if (!built.ok()) return std::fprintf(stderr, "%s\n", built.status().message().data()), 1;
  builder.Finish(*built);
  const auto tokenizer = graft::runtime::Tokenizer::Create(
      *flatbuffers::GetRoot<graft::schema::fb::Tokenizer>(builder.GetBufferPointer()));
  if (!tokenizer.ok()) return 1;
  const auto start = CpuNanoseconds();
  std::vector<std::string> texts((*tokenizer)->size());
  for (uint32_t id = 0; id < texts.size(); ++id) {
    if ((*tokenizer)->IsSpecial(id)) continue;
    texts[id] = *(*tokenizer)->decoder().InnerText(id);
  }
  const uint32_t size = (*tokenizer)->size();
  const graft::runtime::Vocabulary vocabulary(std::move(texts), size);
  std::fprintf(stderr, "vocabulary: %u tokens, %zu nodes, %zu rest, %.1f ms\n", size,
               vocabulary.all().nodes.size(), vocabulary.rest().nodes.size(),
               static_cast<double>(CpuNanoseconds() - start) / 1e6);
  for (int i = 2; i < argc; ++i) {
    const Run run = RunFile(argv[i], **tokenizer, vocabulary);
    std::printf(
        "{\"file\": %s, \"outcome\": \"%s\", \"detail\": %s, \"compile_ns\": %lld, \"mask_ns\": [",
        graft::runtime::QuoteJson(argv[i]).c_str(), run.outcome.c_str(),
        graft::runtime::QuoteJson(run.detail).c_str(), static_cast<long long>(run.compile_ns));
    for (size_t k = 0; k < run.mask_ns.size(); ++k) {
      std::printf("%s%lld", k == 0 ? "" : ",", static_cast<long long>(run.mask_ns[k]));
    }
    std::printf("]}\n");
    std::fflush(stdout);
  }
  return 0;
}
