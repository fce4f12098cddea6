// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/pack_job.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "runtime/threads/parallel_tasks.h"
#include "runtime/xnn/pack_rows.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Rooms for scales that are kept for other tensors are no larger.
constexpr size_t kMostSpareBytes = size_t{4} << 20;

class PackJob {
 public:
  PackJob(const schema::VerifiedModel& model, const DataSource& source, const PackLayout& layout,
          std::span<const std::shared_ptr<PackedSlot>> slots, std::span<const SlotPatch> patches)
      : model_(model),
        source_(source),
        layout_(layout),
        slots_(slots),
        patches_(patches),
        tensors_(*model.model().tensors()),
        readers_(new std::atomic<uint32_t>[tensors_.size()]()),
        scales_(tensors_.size()) {}

  void AddTasks(ContentCheck check) {
    std::vector<bool> is_checked(tensors_.size(), check == ContentCheck::kNone);
    const auto check_once = [&](int32_t tensor) {
      if (tensor < 0 || is_checked[static_cast<size_t>(tensor)]) return;
      is_checked[static_cast<size_t>(tensor)] = true;
      tasks_.push_back({Task::Kind::kCheck, static_cast<uint32_t>(tensor)});
      ++readers_[static_cast<size_t>(tensor)];
    };
    for (uint32_t i = 0; i < layout_.slices.size(); ++i) {
      // Just before its first slice, so that the bytes are still in the core's cache.
      const PackedEntry& entry = layout_.entries[layout_.slices[i].entry];
      check_once(entry.source.weight);
      check_once(entry.source.bias);
      tasks_.push_back({Task::Kind::kPack, i});
      ++readers_[static_cast<size_t>(entry.source.weight)];
    }
  }

  Status Run(unsigned threads) {
    rooms_.resize(std::max(threads, 1u));
    return RunTasks(threads, tasks_.size(), [this](size_t index, unsigned worker) {
      const Task& task = tasks_[index];
      if (task.kind == Task::Kind::kPack) return Pack(task.index, worker);
      return Check(*tensors_.Get(task.index), task.index);
    });
  }

 private:
  struct Task {
    enum class Kind : uint8_t { kCheck, kPack };
    Kind kind;
    uint32_t index;  // of a tensor, or of a slice
  };

  uint64_t OffsetOf(const uint8_t* bytes) const {
    return static_cast<uint64_t>(bytes - model_.file_bytes().data());
  }

  void Release(const fb::Tensor& tensor) const {
    for (const auto& bytes :
         {model_.tensor_bytes(tensor).data, model_.tensor_bytes(tensor).scales}) {
      if (!bytes.empty()) source_.Drop(OffsetOf(bytes.data()), bytes.size());
    }
  }

  Status LoadNumbers(const fb::Tensor& tensor) const {
    return Load(tensor, model_.tensor_bytes(tensor).data);
  }

  Status LoadScales(const fb::Tensor& tensor) const {
    return Load(tensor, model_.tensor_bytes(tensor).scales);
  }

  Status Load(const fb::Tensor& tensor, std::span<const uint8_t> bytes) const {
    if (bytes.empty()) return OkStatus();
    return Named(tensor, source_.Load(OffsetOf(bytes.data()), bytes.size()));
  }

  // What a source says of its bytes does not know whose they are.
  static Status Named(const fb::Tensor& tensor, const Status& status) {
    if (status.ok()) return status;
    return status.WithContext("tensor " + tensor.name()->str());
  }

  Status Check(const fb::Tensor& tensor, uint32_t index) {
    const schema::TensorBytes bytes = model_.tensor_bytes(tensor);
    GRAFT_RETURN_IF_ERROR(LoadNumbers(tensor));
    GRAFT_RETURN_IF_ERROR(LoadScales(tensor));
    source_.WillRead(OffsetOf(bytes.data.data()), bytes.data.size());
    const schema::Hash128 hash = schema::ContentHash(bytes.data, bytes.scales);
    const fb::Hash128* stored = tensor.content_hash();
    if (stored == nullptr || stored->high() != hash.high || stored->low() != hash.low) {
      return Error(StatusCode::kMismatch,
                   "tensor %.200s: its bytes do not have the content hash that the file gives",
                   tensor.name()->c_str());
    }
    if (--readers_[index] == 0) Release(tensor);
    return OkStatus();
  }

  Status Pack(uint32_t index, unsigned worker) {
    const PackedSlice& slice = layout_.slices[index];
    const PackedEntry& entry = layout_.entries[slice.entry];
    const auto weight = static_cast<uint32_t>(entry.source.weight);
    const fb::Tensor& tensor = *tensors_.Get(weight);
    const size_t first_row = slice.matrix * entry.weights.out_features;
    StoredMatrix rows =
        RowsOf(MatrixOf(model_, tensor), first_row + slice.begin, slice.end - slice.begin);
    const float* bias = nullptr;
    if (entry.source.bias >= 0) {
      const fb::Tensor& stored = *tensors_.Get(static_cast<uint32_t>(entry.source.bias));
      GRAFT_RETURN_IF_ERROR(LoadNumbers(stored));
      bias = reinterpret_cast<const float*>(model_.tensor_bytes(stored).data.data()) + first_row +
             slice.begin;
    }
    uint8_t* const packed = slots_[slice.entry]->memory() + (slice.offset - entry.offset);
    GRAFT_ASSIGN_OR_RETURN(const bool is_patched, Patch(slice, rows, bias, packed, worker));
    if (!is_patched) {
      const uint64_t offset = OffsetOf(rows.data);
      const uint64_t size = rows.rows * rows.row_bytes();
      source_.WillRead(offset, size);
      const Result<const uint8_t*> numbers = source_.ReadOnce(offset, size, &rooms_[worker].bytes);
      GRAFT_RETURN_IF_ERROR(Named(tensor, numbers.status()));
      rows.data = *numbers;
      if (rows.scales != nullptr) {
        GRAFT_ASSIGN_OR_RETURN(const uint8_t* const scales, ScalesOf(tensor, weight));
        rows.scales = scales + (rows.scales - model_.tensor_bytes(tensor).scales.data());
      }
      GRAFT_RETURN_IF_ERROR(PackRows(tensor.name()->c_str(), entry.weights, rows, bias, slice.begin,
                                     slice.end, packed));
      // At once, so that never much more than one copy is in memory. Pages shared with a neighbour
      // stay until the whole tensor is done. An embedding that shares the tensor brings back the few
      // rows it reads.
      source_.Release(offset, size);
    }
    if (--readers_[weight] == 0) {
      Release(tensor);
      GiveBackScales(weight);
    }
    return OkStatus();
  }

  // All scales of a tensor, made once for its slices.
  Result<const uint8_t*> ScalesOf(const fb::Tensor& tensor, size_t index) {
    const std::lock_guard<std::mutex> lock(scales_mutexes_[index % scales_mutexes_.size()]);
    Scales& scales = scales_[index];
    if (scales.bytes != nullptr) return scales.bytes;
    {
      const std::lock_guard<std::mutex> spare_lock(spare_mutex_);
      if (!spare_.empty()) {
        scales.room = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    const std::span<const uint8_t> stored = model_.tensor_bytes(tensor).scales;
    const Result<const uint8_t*> bytes =
        source_.ReadOnce(OffsetOf(stored.data()), stored.size(), &scales.room);
    GRAFT_RETURN_IF_ERROR(Named(tensor, bytes.status()));
    scales.bytes = *bytes;
    return scales.bytes;
  }

  // Memory that is used again is not cleared by the system again.
  void GiveBackScales(size_t index) {
    Scales& scales = scales_[index];
    scales.bytes = nullptr;
    if (scales.room.empty()) return;
    std::vector<uint8_t> room = std::exchange(scales.room, {});
    if (room.size() > kMostSpareBytes) return;
    const std::lock_guard<std::mutex> lock(spare_mutex_);
    spare_.push_back(std::move(room));
  }

  // Whether the slot's bytes could be made those of the slice.
  Result<bool> Patch(const PackedSlice& slice, const StoredMatrix& rows, const float* bias,
                     uint8_t* packed, unsigned worker) {
    if (patches_.empty() || !patches_[slice.entry]) return false;
    const PackedEntry& entry = layout_.entries[slice.entry];
    if (entry.weights.format != WeightFormat::kInt4Block) {
      GRAFT_RETURN_IF_ERROR(LoadScales(*tensors_.Get(static_cast<uint32_t>(entry.source.weight))));
    }
    return patches_[slice.entry].Apply(entry, slice, bias, rows.scales, packed,
                                       &rooms_[worker].patch);
  }

  /// Of a thread.
  struct Room {
    std::vector<uint8_t> bytes;  // what a source makes to be read once
    PatchRoom patch;
  };

  /// Of a tensor that is packed.
  struct Scales {
    const uint8_t* bytes = nullptr;
    std::vector<uint8_t> room;  // where they lie if they were made
  };

  const schema::VerifiedModel& model_;
  const DataSource& source_;
  const PackLayout& layout_;
  const std::span<const std::shared_ptr<PackedSlot>> slots_;
  const std::span<const SlotPatch> patches_;
  const flatbuffers::Vector<flatbuffers::Offset<fb::Tensor>>& tensors_;
  // How many tasks still read each tensor.
  const std::unique_ptr<std::atomic<uint32_t>[]> readers_;
  std::vector<Task> tasks_;
  std::vector<Room> rooms_;
  std::array<std::mutex, 16> scales_mutexes_;  // of scales_, by tensor
  std::vector<Scales> scales_;                 // by tensor
  std::mutex spare_mutex_;
  std::vector<std::vector<uint8_t>> spare_;  // rooms for scales
};

}  // namespace

Status PackSlices(const schema::VerifiedModel& model, const DataSource& source,
                  const PackLayout& layout, unsigned threads, ContentCheck check,
                  std::span<const std::shared_ptr<PackedSlot>> slots,
                  std::span<const SlotPatch> patches) {
  PackJob job(model, source, layout, slots, patches);
  job.AddTasks(check);
  return job.Run(threads);
}

}  // namespace graft::runtime
