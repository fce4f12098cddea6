// SPDX-License-Identifier: Apache-2.0
#include "runtime/packed_weights.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "runtime/worker_team.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Blobs start on this, so that none shares a page with another and a cache file can be mapped in
// their place.
constexpr uint64_t kBlobAlignment = 4096;
// Stored bytes that one task packs: small enough to share a matrix between threads, large enough to
// amortize a task.
constexpr uint64_t kTaskBytes = uint64_t{1} << 19;

WeightFormat FormatOf(fb::TensorFormat format) {
  switch (format) {
    case fb::TensorFormat::Float16:
      return WeightFormat::kFloat16;
    case fb::TensorFormat::BFloat16:
      return WeightFormat::kBFloat16;
    case fb::TensorFormat::Int8PerChannel:
      return WeightFormat::kInt8Channel;
    case fb::TensorFormat::Int4Block:
      return WeightFormat::kInt4Block;
    case fb::TensorFormat::Int4PerChannel:
      return WeightFormat::kInt4Channel;
    case fb::TensorFormat::Float32:
    case fb::TensorFormat::Int32:
      break;
  }
  return WeightFormat::kFloat32;
}

}  // namespace

StoredMatrix MatrixOf(const schema::VerifiedModel& model, const fb::Tensor& tensor) {
  const schema::TensorBytes bytes = model.tensor_bytes(tensor);
  StoredMatrix matrix;
  matrix.format = FormatOf(tensor.format());
  matrix.rows = static_cast<size_t>(tensor.shape()->Get(0));
  matrix.width = static_cast<size_t>(tensor.shape()->Get(1));
  matrix.block_size = tensor.block_size();
  matrix.data = bytes.data.data();
  matrix.scales = bytes.scales.data();
  return matrix;
}

Result<std::unique_ptr<PackedWeights>> PackedWeights::Pack(const schema::VerifiedModel& model,
                                                           const DataSource& source,
                                                           unsigned threads) {
  GRAFT_RETURN_IF_ERROR(InitializeKernels());
  auto packed = std::make_unique<PackedWeights>();
  GRAFT_RETURN_IF_ERROR(packed->FindEntries(model));
  GRAFT_RETURN_IF_ERROR(packed->Fill(model, source, threads));
  return packed;
}

Status PackedWeights::FindEntries(const schema::VerifiedModel& model) {
  const fb::Graph& graph = *model.model().graph();
  const auto& tensors = *model.model().tensors();
  entry_of_op_.assign(graph.ops()->size(), 0);
  std::vector<std::vector<uint32_t>> entries_of_tensor(tensors.size());
  uint64_t end = 0;
  for (uint32_t op = 0; op < graph.ops()->size(); ++op) {
    const fb::Linear* linear = graph.ops()->Get(op)->attributes_as_Linear();
    if (linear == nullptr) continue;
    // A bias is packed with its weight, so a weight with two biases is two blobs.
    auto& candidates = entries_of_tensor[static_cast<size_t>(linear->weight())];
    const auto same = std::find_if(candidates.begin(), candidates.end(), [&](uint32_t entry) {
      return entries_[entry].bias == linear->bias();
    });
    if (same != candidates.end()) {
      entry_of_op_[op] = *same;
      continue;
    }
    const fb::Tensor& tensor = *tensors.Get(static_cast<uint32_t>(linear->weight()));
    Entry entry;
    entry.weight = linear->weight();
    entry.bias = linear->bias();
    entry.weights.format = FormatOf(tensor.format());
    entry.weights.out_features = static_cast<size_t>(tensor.shape()->Get(0));
    entry.weights.in_features = static_cast<size_t>(tensor.shape()->Get(1));
    entry.weights.block_size = tensor.block_size();
    GRAFT_RETURN_IF_ERROR(FindLayout(tensor.name()->c_str(), &entry.weights));
    if (!CheckedAlignUp(end, kBlobAlignment, &entry.offset) ||
        !CheckedAdd(entry.offset, entry.weights.packed_bytes, &end)) {
      return Error(StatusCode::kOutOfMemory,
                   "tensor %.200s: the packed weights do not fit the address space",
                   tensor.name()->c_str());
    }
    entry_of_op_[op] = static_cast<uint32_t>(entries_.size());
    candidates.push_back(entry_of_op_[op]);
    entries_.push_back(entry);
  }
  GRAFT_ASSIGN_OR_RETURN(memory_, PageMemory::Allocate(end + kReadableTailBytes, "packed weights",
                                                       PageMemory::Pages::kHuge));
  for (Entry& entry : entries_) entry.weights.packed = memory_.data() + entry.offset;
  return OkStatus();
}

namespace {

struct PackTask {
  uint32_t entry;
  size_t begin, end;
};

}  // namespace

Status PackedWeights::Fill(const schema::VerifiedModel& model, const DataSource& source,
                           unsigned threads) {
  const auto& tensors = *model.model().tensors();

  // How many tasks still read each tensor.
  std::unique_ptr<std::atomic<uint32_t>[]> readers(new std::atomic<uint32_t>[tensors.size()]());
  std::vector<PackTask> tasks;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const StoredMatrix matrix = MatrixOf(model, *tensors.Get(static_cast<uint32_t>(entry.weight)));
    size_t rows = matrix.rows;
    if (const size_t tile = entry.weights.tile_rows; tile != 0) {
      rows = std::max<size_t>(1, kTaskBytes / (matrix.row_bytes() * tile)) * tile;
    }
    for (size_t begin = 0; begin < matrix.rows;) {
      // The last slice takes the rest: a slice smaller than a tile could be given another layout.
      const size_t end = matrix.rows - begin < 2 * rows ? matrix.rows : begin + rows;
      tasks.push_back({i, begin, end});
      begin = end;
      ++readers[entry.weight];
    }
  }

  struct Shared {
    std::mutex mutex;
    Status status;
    std::atomic<bool> failed{false};
  } shared;
  const auto run = [&](size_t index) {
    const PackTask& task = tasks[index];
    const Entry& entry = entries_[task.entry];
    const fb::Tensor& tensor = *tensors.Get(static_cast<uint32_t>(entry.weight));
    const StoredMatrix matrix = MatrixOf(model, tensor);
    const float* bias = nullptr;
    if (entry.bias >= 0) {
      bias = reinterpret_cast<const float*>(
          model.tensor_bytes(*tensors.Get(static_cast<uint32_t>(entry.bias))).data.data());
    }
    const uint8_t* base = model.file_bytes().data();
    const auto offset = static_cast<uint64_t>(matrix.data + task.begin * matrix.row_bytes() - base);
    const uint64_t size = (task.end - task.begin) * matrix.row_bytes();
    source.WillRead(offset, size);
    Status status = PackRows(tensor.name()->c_str(), entry.weights, matrix, bias, task.begin,
                             task.end, memory_.data() + entry.offset);
    if (!status.ok()) {
      const std::lock_guard<std::mutex> lock(shared.mutex);
      if (shared.status.ok()) shared.status = std::move(status);
      shared.failed.store(true, std::memory_order_relaxed);
      return;
    }
    // At once, so that never much more than one copy is in memory. Pages shared with a neighbour
    // stay until the whole tensor is done. An embedding that shares the tensor brings back the few
    // rows it reads.
    source.Release(offset, size);
    if (--readers[entry.weight] > 0) return;
    for (const auto& bytes : {model.tensor_bytes(tensor).data, model.tensor_bytes(tensor).scales}) {
      if (!bytes.empty()) source.Release(static_cast<uint64_t>(bytes.data() - base), bytes.size());
    }
  };

  class Packing final : public StagedWork {
   public:
    Packing(uint32_t tasks, const decltype(run)& function, const std::atomic<bool>& failed)
        : tasks_(tasks), function_(function), failed_(failed) {}
    // In stages of as many tasks as a team takes at once.
    uint32_t Stages() const { return (tasks_ + WorkerTeam::kMaxTasks - 1) / WorkerTeam::kMaxTasks; }
    uint32_t TaskCount(uint32_t stage) override {
      return std::min(WorkerTeam::kMaxTasks, tasks_ - stage * WorkerTeam::kMaxTasks);
    }
    void RunTask(uint32_t stage, uint32_t task, unsigned) override {
      if (!failed_.load(std::memory_order_relaxed))
        function_(size_t{stage} * WorkerTeam::kMaxTasks + task);
    }
    bool FinishStage(uint32_t) override { return !failed_.load(std::memory_order_relaxed); }

   private:
    const uint32_t tasks_;
    const decltype(run)& function_;
    const std::atomic<bool>& failed_;
  };
  GRAFT_ASSIGN_OR_RETURN(auto team, WorkerTeam::Create(std::max(1u, threads)));
  Packing packing(static_cast<uint32_t>(tasks.size()), run, shared.failed);
  team->Run(packing, packing.Stages());
  return std::move(shared.status);
}

}  // namespace graft::runtime
