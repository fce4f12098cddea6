// SPDX-License-Identifier: Apache-2.0
// Lays the shards out, fills them on all cores, carries the other files over, and renames the
// folder into place.
#include "converter/merge/merge_checkpoint.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "converter/base/cancellation.h"
#include "converter/base/input_file.h"
#include "converter/base/output_folder.h"
#include "converter/base/parallel.h"
#include "converter/checkpoint/checkpoint_files.h"
#include "converter/formats/safetensors_writer.h"
#include "converter/gguf/families/gguf_parts.h"
#include "converter/json/json.h"
#include "converter/merge/merged_files.h"
#include "converter/tensors/float_kernels.h"
#include "converter/tokenizer/token_ids.h"
#include "converter/tokenizer/tokenizer_files.h"

namespace graft::converter {
namespace {

// One block of work: rows to merge, or bytes to copy.
struct Piece {
  size_t shard = 0;
  size_t index = 0;                           // within the shard
  const WeightFile::Entry* source = nullptr;  // set: copy these bytes as they are
  int64_t begin = 0;                          // rows, or bytes
  int64_t end = 0;
  bool changed = false;  // set when it is written: the base has other numbers there
};

struct ShardLayout {
  std::string file_name;
  std::vector<TensorInfo> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;
};

constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int64_t kPieceElements = 131072;

// What is written is safetensors: pytorch_model-00001-of-00002.bin becomes
// model-00001-of-00002.safetensors, as does NAME-00001-of-00002.gguf, and so does the index.
std::string WrittenName(std::string name) {
  if (name.ends_with(".gguf")) return "model" + std::string(GgufSplitEnding(name)) + ".safetensors";
  const std::string index = name.ends_with(".index.json") ? ".index.json" : "";
  name.resize(name.size() - index.size());
  for (const std::string_view ending : {".bin", ".pt", ".pth"}) {
    if (!name.ends_with(ending)) continue;
    name.resize(name.size() - ending.size());
    if (name.starts_with("pytorch_model")) name.erase(0, std::string_view("pytorch_").size());
    name += ".safetensors";
    break;
  }
  return name + index;
}

// Which tensor of the merged model has the numbers of `name`: a copy of the input embedding that the
// base stores as its head stays one.
std::string_view SourceOf(const MergedSource& merged, std::string_view name) {
  return merged.Find(name) != nullptr ? name : std::string_view(merged.tied_embeddings().input);
}

// The tensors of one of the base's files by where they lie, a copied head among them.
std::vector<std::string> NamesByOffset(const Checkpoint& base, size_t shard) {
  std::vector<std::pair<const WeightFile::Entry*, std::string>> names;
  for (const TensorInfo& info : base.tensors()) {
    const Checkpoint::Location& location = *base.Locate(info.name);
    if (location.shard == shard) names.emplace_back(location.entry, info.name);
  }
  const WeightFile::Entry* head = base.copied_head();
  if (head != nullptr && base.shards()[shard]->Find(head->info.name) == head) {
    names.emplace_back(head, base.NameOf(*head));
  }
  // Those of no bytes by name, as the entries are.
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->file_offset, a.first) < std::pair(b.first->file_offset, b.first);
  });
  std::vector<std::string> in_order;
  in_order.reserve(names.size());
  for (auto& [entry, name] : names) in_order.push_back(std::move(name));
  return in_order;
}

// The shards of the base, in each the order of its file; tensors the base does not have go to the
// last.
std::vector<ShardLayout> LayOut(const Checkpoint& base, const MergedSource& merged,
                                std::optional<DType> dtype) {
  const auto as_written = [&](TensorInfo info) {
    if (dtype.has_value() && IsFloat(info.dtype)) info.dtype = *dtype;
    return info;
  };
  std::vector<ShardLayout> shards;
  for (const auto& file : base.shards()) {
    ShardLayout& shard = shards.emplace_back();
    shard.file_name = WrittenName(std::filesystem::path(file->path()).filename());
    shard.metadata.assign(file->metadata().begin(), file->metadata().end());
    // What they say of codes no longer holds.
    if (!base.stored_as().empty()) shard.metadata.clear();
    const bool has_format = std::any_of(shard.metadata.begin(), shard.metadata.end(),
                                        [](const auto& pair) { return pair.first == "format"; });
    if (!has_format) shard.metadata.emplace_back("format", "pt");
    for (const std::string& name : NamesByOffset(base, shards.size() - 1)) {
      // A second name of the input embedding is none of the base's tensors.
      const bool copied = base.Find(name) == nullptr;
      if (const TensorInfo* info = merged.Find(copied ? SourceOf(merged, name) : name)) {
        shard.tensors.push_back(as_written(*info));
        shard.tensors.back().name = name;
      }
    }
  }
  for (const TensorInfo& info : merged.tensors()) {
    const bool copied =
        base.copied_head() != nullptr && base.NameOf(*base.copied_head()) == info.name;
    if (base.Find(info.name) == nullptr && !copied)
      shards.back().tensors.push_back(as_written(info));
  }
  return shards;
}

std::vector<Piece> Cut(const MergedSource& merged, std::span<const ShardLayout> shards) {
  std::vector<Piece> pieces;
  for (size_t s = 0; s < shards.size(); ++s) {
    for (size_t i = 0; i < shards[s].tensors.size(); ++i) {
      const TensorInfo& info = shards[s].tensors[i];
      const int64_t row_elements = info.row_elements();
      if (info.rows() == 0 || row_elements == 0) continue;
      Piece piece{s, i};
      const Checkpoint::Location* location = merged.UntouchedBytes(SourceOf(merged, info.name));
      int64_t length = info.rows();
      int64_t step = std::max<int64_t>(1, kPieceElements / row_elements);
      if (location != nullptr && location->entry->info.dtype == info.dtype) {
        piece.source = location->entry;
        length = static_cast<int64_t>(location->entry->size_bytes);
        step = kPieceBytes;
      }
      for (int64_t begin = 0; begin < length; begin += step) {
        piece.begin = begin;
        piece.end = std::min(length, begin + step);
        pieces.push_back(piece);
      }
    }
  }
  return pieces;
}

Status WritePiece(const Checkpoint& base, const MergedSource& merged, const TensorInfo& info,
                  Piece* to_write, SafetensorsWriter* writer, uint64_t* written_bytes) {
  thread_local std::vector<double> rows, base_rows;
  thread_local std::vector<uint8_t> stored, base_stored;
  const Piece& piece = *to_write;
  if (piece.source != nullptr) {
    stored.resize(static_cast<size_t>(piece.end - piece.begin));
    const WeightFile& file =
        *base.shards()[merged.UntouchedBytes(SourceOf(merged, info.name))->shard];
    GRAFT_RETURN_IF_ERROR(
        file.ReadBytes(*piece.source, static_cast<uint64_t>(piece.begin), stored));
    *written_bytes = stored.size();
    return writer->WriteAt(piece.index, static_cast<uint64_t>(piece.begin), stored);
  }
  rows.resize(static_cast<size_t>((piece.end - piece.begin) * info.row_elements()));
  base_rows.resize(rows.size());
  GRAFT_RETURN_IF_ERROR(
      merged.ReadRowsAndBase(SourceOf(merged, info.name), piece.begin, piece.end, rows, base_rows));
  const size_t element_bytes = static_cast<size_t>(DTypeBytes(info.dtype));
  stored.resize(rows.size() * element_bytes);
  base_stored.resize(stored.size());
  Narrow(info.dtype, rows.data(), rows.size(), stored.data());
  Narrow(info.dtype, base_rows.data(), rows.size(), base_stored.data());
  to_write->changed = stored != base_stored;
  *written_bytes = stored.size();
  return writer->WriteAt(piece.index,
                         static_cast<uint64_t>(piece.begin * info.row_elements()) * element_bytes,
                         stored);
}

// Fills `changed` with the names of the tensors whose numbers are others than the base's.
Status WriteShards(const MergeRequest& request, const Checkpoint& base, const MergedSource& merged,
                   std::span<const ShardLayout> shards, const std::filesystem::path& folder,
                   std::set<std::string>* changed) {
  std::vector<std::unique_ptr<SafetensorsWriter>> writers;
  uint64_t total = 0;
  uint64_t elements = 0;
  for (const ShardLayout& shard : shards) {
    std::vector<TensorInfo> stored = shard.tensors;
    for (TensorInfo& info : stored) info.name = base.StoredName(info.name);
    GRAFT_ASSIGN_OR_RETURN(
        auto writer, SafetensorsWriter::Create(folder / shard.file_name, stored, shard.metadata));
    writers.push_back(std::move(writer));
    for (const TensorInfo& info : shard.tensors) {
      GRAFT_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(info));
      total += bytes;
      elements += bytes / static_cast<uint64_t>(DTypeBytes(info.dtype));
    }
  }
  std::vector<Piece> pieces = Cut(merged, shards);
  const int threads = request.threads > 0 ? request.threads : DefaultThreads();
  std::mutex mutex;
  uint64_t done = 0;
  GRAFT_RETURN_IF_ERROR(
      ParallelFor(threads, static_cast<int64_t>(pieces.size()), [&](int64_t i) -> Status {
        Piece& piece = pieces[static_cast<size_t>(i)];
        uint64_t written_bytes = 0;
        GRAFT_RETURN_IF_ERROR(WritePiece(base, merged, shards[piece.shard].tensors[piece.index],
                                         &piece, writers[piece.shard].get(), &written_bytes));
        const std::lock_guard<std::mutex> lock(mutex);
        done += written_bytes;
        if (request.progress) request.progress(done, total);
        return OkStatus();
      }));
  for (const Piece& piece : pieces) {
    if (piece.changed) changed->insert(shards[piece.shard].tensors[piece.index].name);
  }
  for (const auto& writer : writers) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    GRAFT_RETURN_IF_ERROR(writer->Finish());
  }
  if (base.index_file().empty()) return OkStatus();
  std::vector<std::pair<std::string, std::string>> shard_of;
  for (const ShardLayout& shard : shards) {
    for (const TensorInfo& info : shard.tensors) {
      shard_of.emplace_back(base.StoredName(info.name), shard.file_name);
    }
  }
  return WriteShardIndex(folder / WrittenName(base.index_file().filename()), std::move(shard_of),
                         total, elements);
}

// An adapter's tokenizer must not know tokens that the merged embedding has no row for.
Status CheckVocabulary(const MergedSource& merged) {
  const TensorInfo* embedding = merged.Find(merged.tied_embeddings().input);
  const std::filesystem::path& folder = merged.companions().tokenizer;
  if (folder.empty() || embedding == nullptr) return OkStatus();
  TokenizerContext context;
  if (const auto config = merged.base().folder() / "config.json"; Exists(config)) {
    GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(config));
    GRAFT_ASSIGN_OR_RETURN(context, ContextOf(document->root()));
  }
  context.embedding_rows = embedding->rows();
  GRAFT_ASSIGN_OR_RETURN(const auto tokenizer, ReadTokenizerFiles(folder, context));
  if (tokenizer == nullptr) return OkStatus();
  const int64_t ids = CountTokenIds(tokenizer->Find("model"), tokenizer->Find("added_tokens"));
  if (ids <= embedding->rows()) return OkStatus();
  return Error(StatusCode::kMismatch,
               "%s: has %lld tokens, but the embedding '%s' of the merged model has %lld rows; the "
               "adapter was saved without the resized embeddings that its tokenizer needs (in "
               "PEFT: save_embedding_layers), or the tokenizer beside it is not its own: remove it "
               "to keep the base's",
               tokenizer->name().c_str(), static_cast<long long>(ids), embedding->name.c_str(),
               static_cast<long long>(embedding->rows()));
}

}  // namespace

Result<MergeReport> MergeCheckpoint(const MergeRequest& request) {
  GRAFT_ASSIGN_OR_RETURN(auto opened, Checkpoint::Open(request.base));
  const std::shared_ptr<const Checkpoint> base = std::move(opened);
  GRAFT_ASSIGN_OR_RETURN(const auto merged,
                         MergedSource::Open(base, request.adapters, request.rules));
  GRAFT_RETURN_IF_ERROR(CheckVocabulary(*merged));
  GRAFT_ASSIGN_OR_RETURN(const auto folder, OutputFolder::Create(request.output));
  std::set<std::string> changed;
  GRAFT_RETURN_IF_ERROR(WriteShards(request, *base, *merged, LayOut(*base, *merged, request.dtype),
                                    folder->path(), &changed));
  std::error_code error;
  if (base->is_gguf() || std::filesystem::is_directory(request.base, error)) {
    const std::filesystem::path& from = base->is_gguf() ? base->folder() : request.base;
    GRAFT_RETURN_IF_ERROR(WriteMergedFiles(*merged, from, request.dtype, folder->path()));
  }
  GRAFT_RETURN_IF_ERROR(CheckCancelled());
  GRAFT_RETURN_IF_ERROR(folder->Finish());
  MergeReport report = merged->report();
  report.base_stored_as = base->stored_as();
  std::erase_if(report.tensors,
                [&changed](const TensorReport& tensor) { return changed.count(tensor.name) == 0; });
  return report;
}

}  // namespace graft::converter
