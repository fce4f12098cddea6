// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "runtime/attention_scratch.h"
#include "runtime/kernels/image_windows.h"
#include "runtime/kernels/pool_rows.h"
#include "runtime/kernels/rope.h"
#include "runtime/linear_slices.h"
#include "runtime/session_memory.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Rows that go through a stage together, so that they are still in a near cache at the next step.
// As many as a block of keys has positions: two threads that store into one block take its cache
// lines from each other.
constexpr size_t kRowBlock = kKeyBlock;
// Query vectors (rows x heads of a group) of one attention task.
constexpr size_t kAttentionBlock = 48;
// A decoded token's attention is split between threads over the context when there are too few
// heads to go round.
constexpr size_t kMinSplitPositions = 256;

Activation ActivationOf(fb::ActivationKind kind) {
  switch (kind) {
    case fb::ActivationKind::Silu:
      return Activation::kSilu;
    case fb::ActivationKind::Gelu:
      return Activation::kGelu;
    case fb::ActivationKind::GeluTanh:
      return Activation::kGeluTanh;
    case fb::ActivationKind::Relu:
      return Activation::kRelu;
    case fb::ActivationKind::Tanh:
      return Activation::kTanh;
    case fb::ActivationKind::Sigmoid:
      return Activation::kSigmoid;
    case fb::ActivationKind::QuickGelu:
      return Activation::kQuickGelu;
  }
  return Activation::kSilu;
}

const float* FloatsOf(const schema::VerifiedModel& model, int32_t tensor) {
  if (tensor < 0) return nullptr;
  const fb::Tensor& stored = *model.model().tensors()->Get(static_cast<uint32_t>(tensor));
  return reinterpret_cast<const float*>(model.tensor_bytes(stored).data.data());
}

ImageWindow WindowOf(const fb::ImageWindow& window, bool is_planar) {
  const auto places = schema::PlacesOf(window);
  return {window.channels(),
          window.height(),
          window.width(),
          window.kernel_height(),
          window.kernel_width(),
          window.stride_height(),
          window.stride_width(),
          window.pad_height(),
          window.pad_width(),
          window.dilation_height(),
          window.dilation_width(),
          places.ok() ? static_cast<size_t>(places->width) : 1,
          is_planar};
}

}  // namespace

// One weight matrix and the operators on its slices.
struct Executor::LinearState {
  const LinearWeights* weights = nullptr;
  size_t slice_rows = 0;
  size_t slice_count = 0;
  std::unique_ptr<LinearOperator[]> slices;
  bool runs = false;
};

// Rows [begin, end) of a call, of one text.
struct Executor::TextBlock {
  size_t begin, end, text;
};

struct Executor::StepState {
  // What the graph says.
  StoredMatrix table;             // kEmbedding
  float factor = 0;               // kEmbedding, kScale: scale; kAngles: magnitude; norms: epsilon
  const float* weight = nullptr;  // norms; kAngles: inverse frequencies
  const float* bias = nullptr;    // kLayerNorm
  size_t group = 0;               // kRmsNorm: elements; kRope: head_dim
  size_t half = 0;                // kAngles, kRope: rotary_dim / 2
  bool interleaved = false;       // kRope
  Activation activation = Activation::kSilu;
  AttentionShape attention;
  bool cached = false;                    // kStoreKv, kAttention: view is of a cache
  KvView view;                            // kStoreKv, kAttention
  fb::PoolKind pool = fb::PoolKind::Row;  // kPoolRows, kPoolPixels
  ptrdiff_t pool_index = 0;               // kPoolRows
  ImageWindow window;                     // kPatches, kPoolPixels
  std::vector<LinearState> linears;
  std::vector<uint32_t> tasks;  // kLinears: linear << 16 | slice, those that run
  uint64_t weight_bytes = 0;    // kLinears: packed, of the linears that run

  // What the sizes say.
  size_t rows = 0;
  size_t width = 0;  // elements of an output row
  const float* in0 = nullptr;
  const float* in1 = nullptr;
  const int32_t* indices = nullptr;  // kEmbedding, kAngles, kSelectRows
  float* out = nullptr;
  int8_t* codes = nullptr;  // kQuantize
  RowQuantization* quantization = nullptr;
  const int32_t* text_ends = nullptr;  // kPoolRows, kStoreKv, kAttention: if there are texts
  size_t in_rows = 0;                  // kPoolRows
  struct Part {
    const float* data;
    size_t rows;
  };
  std::vector<Part> parts;             // kConcatenateRows
  std::vector<TextBlock> text_blocks;  // kAttention over texts: what the tasks of a head compute
  size_t blocks_per_task = 1;
  size_t block = 1;   // kAttention: rows of a task
  size_t splits = 1;  // kAttention: tasks that share one row's context
};

Executor::Executor(const Plan& plan, const LookupTables& tables, WorkerTeam& team,
                   MemoryBudget& budget)
    : plan_(plan), tables_(tables), team_(team), budget_(budget) {}
Executor::~Executor() = default;

Result<std::unique_ptr<Executor>> Executor::Create(const Plan& plan, const PackedWeights& weights,
                                                   std::span<const KvView> caches,
                                                   const LookupTables& tables, WorkerTeam& team,
                                                   MemoryBudget& budget) {
  std::unique_ptr<Executor> executor(new (std::nothrow) Executor(plan, tables, team, budget));
  if (!executor) return Error(StatusCode::kOutOfMemory, "cannot allocate an executor");
  GRAFT_RETURN_IF_ERROR(executor->CreateSteps(weights, caches));
  return executor;
}

Status Executor::CreateSteps(const PackedWeights& weights, std::span<const KvView> caches) {
  const schema::VerifiedModel& model = plan_.model();
  states_.resize(plan_.steps().size());

  size_t most_scales = 0;
  for (const Step& step : plan_.steps()) {
    if (step.kind != StepKind::kLinears) continue;
    for (const uint32_t op : step.ops) {
      const LinearWeights& linear = weights.linear(op);
      if (linear.format != WeightFormat::kInt4Block) continue;
      most_scales =
          std::max(most_scales, linear.out_features * (linear.in_features / linear.block_size));
    }
  }
  GRAFT_ASSIGN_OR_RETURN(
      const PageMemory unit_scales,
      PageMemory::Allocate(most_scales * sizeof(uint16_t), "the checks of int4 scales"));
  auto* ones = reinterpret_cast<uint16_t*>(unit_scales.data());
  std::fill(ones, ones + most_scales, uint16_t{0x3F80});

  for (size_t i = 0; i < states_.size(); ++i) {
    const Step& step = plan_.steps()[i];
    StepState& state = states_[i];
    const fb::Op* op = step.ops.empty() ? nullptr : &plan_.op(step.ops[0]);
    switch (step.kind) {
      case StepKind::kEmbedding: {
        const fb::Embedding& embedding = *op->attributes_as_Embedding();
        state.table = MatrixOf(
            model, *model.model().tensors()->Get(static_cast<uint32_t>(embedding.table())));
        state.factor = embedding.scale();
        break;
      }
      case StepKind::kAngles: {
        const fb::Rope& rope = *op->attributes_as_Rope();
        state.weight = FloatsOf(model, rope.inverse_frequencies());
        state.half = rope.rotary_dim() / 2;
        state.factor = rope.magnitude();
        break;
      }
      case StepKind::kRope: {
        const fb::Rope& rope = *op->attributes_as_Rope();
        state.group = rope.head_dim();
        state.half = rope.rotary_dim() / 2;
        state.interleaved = rope.interleaved();
        break;
      }
      case StepKind::kRmsNorm: {
        const fb::RmsNorm& norm = *op->attributes_as_RmsNorm();
        state.weight = FloatsOf(model, norm.weight());
        state.group = static_cast<size_t>(
            model.model().tensors()->Get(static_cast<uint32_t>(norm.weight()))->shape()->Get(0));
        state.factor = norm.epsilon();
        break;
      }
      case StepKind::kLayerNorm: {
        const fb::LayerNorm& norm = *op->attributes_as_LayerNorm();
        state.weight = FloatsOf(model, norm.weight());
        state.bias = FloatsOf(model, norm.bias());
        state.factor = norm.epsilon();
        break;
      }
      case StepKind::kStoreKv:
      case StepKind::kAttention: {
        const fb::Attention& attention = *op->attributes_as_Attention();
        state.attention = {attention.heads(), attention.kv_heads(), attention.head_dim(),
                           attention.scale(), attention.soft_cap(), attention.window(),
                           attention.causal()};
        state.cached = attention.kv_cache() >= 0;
        if (state.cached) {
          state.view = caches[static_cast<size_t>(attention.kv_cache())];
        } else {
          state.view.kv_heads = attention.kv_heads();
          state.view.head_dim = attention.head_dim();
        }
        break;
      }
      case StepKind::kActivation:
        state.activation = ActivationOf(op->attributes_as_Activation()->kind());
        break;
      case StepKind::kGatedActivation:
        state.activation = ActivationOf(op->attributes_as_GatedActivation()->kind());
        break;
      case StepKind::kScale:
        state.factor = op->attributes_as_Scale()->factor();
        break;
      case StepKind::kLinears:
        GRAFT_RETURN_IF_ERROR(CreateLinears(step, weights, ones, &state));
        break;
      case StepKind::kPoolRows:
        state.pool = op->attributes_as_PoolRows()->kind();
        state.pool_index = op->attributes_as_PoolRows()->index();
        break;
      case StepKind::kConstant:
        state.weight = FloatsOf(model, op->attributes_as_Constant()->tensor());
        break;
      case StepKind::kPatches: {
        const bool is_planar =
            plan_.values()[static_cast<size_t>(step.inputs[0])].shape.size() == 3;
        state.window = WindowOf(*op->attributes_as_Patches()->window(), is_planar);
        break;
      }
      case StepKind::kPoolPixels:
        state.pool = op->attributes_as_PoolPixels()->kind();
        state.window = WindowOf(*op->attributes_as_PoolPixels()->window(), false);
        break;
      case StepKind::kQuantize:
      case StepKind::kAdd:
      case StepKind::kMultiply:
      case StepKind::kSelectRows:
      case StepKind::kConcatenateRows:
        break;
    }
  }
  const AttentionScratch scratch = ScratchOf(plan_);
  worker_scratch_floats_ = scratch.worker_floats;
  GRAFT_ASSIGN_OR_RETURN(scratch_,
                         PageMemory::Allocate(scratch.bytes(team_.size()), "attention's scratch"));
  most_kv_heads_ = scratch.most_kv_heads;
  splits_done_.reset(new (std::nothrow) std::atomic<uint32_t>[scratch.most_kv_heads]());
  if (!splits_done_)
    return Error(StatusCode::kOutOfMemory, "cannot allocate %zu counters", scratch.most_kv_heads);
  return OkStatus();
}

Status Executor::CreateLinears(const Step& step, const PackedWeights& weights,
                               const uint16_t* unit_scales, StepState* state) {
  uint64_t group_bytes = 0;
  for (const uint32_t op : step.ops) group_bytes += weights.linear(op).packed_bytes;
  for (const uint32_t op : step.ops) {
    const auto tensor = static_cast<uint32_t>(plan_.op(op).attributes_as_Linear()->weight());
    const char* name = plan_.model().model().tensors()->Get(tensor)->name()->c_str();
    LinearState linear;
    linear.weights = &weights.linear(op);
    const LinearSlices slices = SlicesOf(*linear.weights, group_bytes, team_.size());
    linear.slice_rows = slices.rows;
    linear.slice_count = slices.count;
    linear.slices.reset(new (std::nothrow) LinearOperator[linear.slice_count]);
    if (!linear.slices)
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate operators", name);
    for (size_t slice = 0; slice < linear.slice_count; ++slice) {
      const size_t begin = slice * linear.slice_rows;
      const size_t end = slice + 1 == linear.slice_count ? linear.weights->out_features
                                                         : begin + linear.slice_rows;
      GRAFT_RETURN_IF_ERROR(
          linear.slices[slice].Create(name, *linear.weights, begin, end, unit_scales));
    }
    state->linears.push_back(std::move(linear));
  }
  return OkStatus();
}

Status Executor::Prepare(const Binding& binding) {
  if (prepared_ && binding == binding_) return OkStatus();
  prepared_ = false;
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan_, binding, &schedule_));
  if (schedule_.arena_bytes > arena_.size()) {
    budget_.Give(arena_.size());
    arena_ = PageMemory();
    GRAFT_ASSIGN_OR_RETURN(arena_, budget_.Allocate(schedule_.arena_bytes, "the activations"));
  }
  binding_ = binding;
  for (const uint32_t index : schedule_.steps) {
    GRAFT_RETURN_IF_ERROR(PrepareStep(plan_.steps()[index], states_[index]));
  }
  prepared_ = true;
  return OkStatus();
}

void Executor::Trim() {
  budget_.Give(arena_.size());
  arena_ = PageMemory();
  prepared_ = false;
  scratch_.Discard(0, scratch_.size());
}

void* Executor::data(int32_t value) const {
  const ValuePlace& place = schedule_.places[static_cast<size_t>(value)];
  return place.bytes == 0 ? nullptr : arena_.data() + place.offset;
}

Status Executor::PrepareStep(const Step& step, StepState& state) {
  const int32_t measured = step.outputs.empty() ? step.inputs[0] : step.outputs[0];
  state.rows = plan_.rows(measured, binding_);
  state.width = plan_.row_elements(measured, binding_);
  state.in0 = step.inputs.empty() ? nullptr : static_cast<const float*>(data(step.inputs[0]));
  const int32_t second = step.inputs.size() > 1 ? step.inputs[1] : -1;
  state.in1 = second >= 0 ? static_cast<const float*>(data(second)) : nullptr;
  state.out = step.outputs.empty() ? nullptr : static_cast<float*>(data(step.outputs[0]));
  switch (step.kind) {
    case StepKind::kEmbedding:
    case StepKind::kAngles:
      state.indices = static_cast<const int32_t*>(data(step.inputs[0]));
      break;
    case StepKind::kSelectRows:
      state.indices = static_cast<const int32_t*>(data(step.inputs[1]));
      break;
    case StepKind::kQuantize: {
      auto* bytes = static_cast<uint8_t*>(data(step.outputs[0]));
      state.codes = reinterpret_cast<int8_t*>(bytes);
      state.quantization =
          reinterpret_cast<RowQuantization*>(bytes + QuantizedCodesBytes(state.rows, state.width));
      break;
    }
    case StepKind::kStoreKv:
    case StepKind::kAttention:
      if (!state.cached) {
        const int32_t stored = step.kind == StepKind::kStoreKv ? step.outputs[0] : step.inputs[1];
        state.view.capacity = KeyValuesCapacity(plan_, stored, binding_);
        state.view.Place(static_cast<uint8_t*>(data(stored)));
      }
      state.rows = plan_.rows(step.inputs[0], binding_);
      state.text_ends =
          step.inputs.size() > 2 ? static_cast<const int32_t*>(data(step.inputs[2])) : nullptr;
      break;
    case StepKind::kPoolRows:
      state.in_rows = plan_.rows(step.inputs[0], binding_);
      state.text_ends = static_cast<const int32_t*>(static_cast<const void*>(state.in1));
      break;
    case StepKind::kConcatenateRows:
      state.parts.clear();
      for (const int32_t input : step.inputs)
        state.parts.push_back(
            {static_cast<const float*>(data(input)), plan_.rows(input, binding_)});
      break;
    case StepKind::kLinears: {
      const RowQuantization* quantization = nullptr;
      const auto* codes = reinterpret_cast<const uint8_t*>(state.in1);
      if (codes != nullptr) {
        const size_t in_features = state.linears[0].weights->in_features;
        quantization = reinterpret_cast<const RowQuantization*>(
            codes + QuantizedCodesBytes(state.rows, in_features));
      }
      state.tasks.clear();
      state.weight_bytes = 0;
      for (size_t i = 0; i < state.linears.size(); ++i) {
        LinearState& linear = state.linears[i];
        auto* out = static_cast<float*>(data(step.outputs[i]));
        linear.runs = out != nullptr;
        if (!linear.runs) continue;
        state.weight_bytes += linear.weights->packed_bytes;
        const void* input =
            linear.weights->quantizes_input() ? static_cast<const void*>(codes) : state.in0;
        for (size_t slice = 0; slice < linear.slice_count; ++slice) {
          GRAFT_RETURN_IF_ERROR(linear.slices[slice].Prepare(state.rows, input, quantization,
                                                             out + slice * linear.slice_rows));
          state.tasks.push_back(static_cast<uint32_t>(i << 16 | slice));
        }
      }
      break;
    }
    case StepKind::kRmsNorm:
    case StepKind::kLayerNorm:
    case StepKind::kRope:
    case StepKind::kAdd:
    case StepKind::kMultiply:
    case StepKind::kActivation:
    case StepKind::kGatedActivation:
    case StepKind::kScale:
    case StepKind::kConstant:
    case StepKind::kPatches:
    case StepKind::kPoolPixels:
      break;
  }
  return OkStatus();
}

// One row of rows [first, last) of the step's input.
void Executor::PoolRow(const StepState& s, size_t first, size_t last, float* out) {
  const float* rows = s.in0 + first * s.width;
  switch (s.pool) {
    case fb::PoolKind::Row: {
      const size_t index = static_cast<size_t>(
          s.pool_index < 0 ? static_cast<ptrdiff_t>(last - first) + s.pool_index : s.pool_index);
      std::copy(rows + index * s.width, rows + (index + 1) * s.width, out);
      break;
    }
    case fb::PoolKind::Mean:
      MeanOfRows(rows, last - first, s.width, out);
      break;
    case fb::PoolKind::Max:
      MaxOfRows(rows, last - first, s.width, out);
      break;
  }
}

void Executor::RunRows(StepState& s, StepKind kind, size_t begin, size_t end) {
  const size_t width = s.width;
  for (size_t row = begin; row < end; ++row) {
    const size_t at = row * width;
    switch (kind) {
      case StepKind::kEmbedding:
        ReadRow(s.table, static_cast<size_t>(s.indices[row]), s.factor, s.out + at);
        break;
      case StepKind::kAngles:
        RopeAngles(s.indices[row], s.weight, s.half, s.factor, s.out + at, s.out + at + s.half);
        break;
      case StepKind::kQuantize:
        QuantizeRow(s.in0 + at, width, s.codes + at, s.quantization + row);
        // A kernel that works on more rows than are left computes the last one again and again,
        // each time with the next row's quantization, and keeps any of the results.
        if (row + 1 == s.rows)
          std::fill_n(s.quantization + s.rows, kExtraQuantizations, s.quantization[row]);
        break;
      case StepKind::kRmsNorm:
        RmsNormRow(s.in0 + at, width, s.weight, s.group, s.factor, s.out + at);
        break;
      case StepKind::kLayerNorm:
        LayerNormRow(s.in0 + at, width, s.weight, s.bias, s.factor, s.out + at);
        break;
      case StepKind::kRope: {
        const float* angles = s.in1 + row * 2 * s.half;
        RopeRow(s.in0 + at, width / s.group, s.group, s.half, s.interleaved, angles,
                angles + s.half, s.out + at);
        break;
      }
      case StepKind::kStoreKv: {
        const size_t kv_width = s.view.kv_heads * s.view.head_dim;
        const size_t slot = s.text_ends != nullptr ? text_slots_.SlotOf(row)
                                                   : (s.cached ? first_position_ : 0) + row;
        StoreKv(s.view, slot, s.in0 + row * kv_width, s.in1 + row * kv_width);
        break;
      }
      case StepKind::kAdd:
        AddRow(s.in0 + at, s.in1 + at, width, s.out + at);
        break;
      case StepKind::kMultiply:
        MultiplyRow(s.in0 + at, s.in1 + at, width, s.out + at);
        break;
      case StepKind::kActivation:
        ActivationRow(s.activation, s.in0 + at, width, s.out + at);
        break;
      case StepKind::kGatedActivation:
        GatedActivationRow(s.activation, s.in0 + at, s.in1 + at, width, s.out + at);
        break;
      case StepKind::kSelectRows:
        std::memcpy(s.out + at, s.in0 + static_cast<size_t>(s.indices[row]) * width,
                    width * sizeof(float));
        break;
      case StepKind::kScale:
        ScaleRow(s.in0 + at, s.factor, width, s.out + at);
        break;
      case StepKind::kPoolRows: {
        const bool by_texts = s.text_ends != nullptr;
        const auto first = static_cast<size_t>(by_texts && row > 0 ? s.text_ends[row - 1] : 0);
        const size_t last = by_texts ? static_cast<size_t>(s.text_ends[row]) : s.in_rows;
        PoolRow(s, first, last, s.out + at);
        break;
      }
      case StepKind::kConstant:
        std::copy(s.weight + at, s.weight + at + width, s.out + at);
        break;
      case StepKind::kConcatenateRows: {
        size_t from = row;
        const StepState::Part* part = s.parts.data();
        for (; from >= part->rows; ++part) from -= part->rows;
        std::copy(part->data + from * width, part->data + (from + 1) * width, s.out + at);
        break;
      }
      case StepKind::kPatches:
        CopyPatch(s.window, s.in0, row, s.out + at);
        break;
      case StepKind::kPoolPixels:
        if (s.pool == fb::PoolKind::Max) {
          PoolMax(s.window, s.in0, row, s.out + at);
        } else {
          PoolMean(s.window, s.in0, row, s.out + at);
        }
        break;
      case StepKind::kLinears:
      case StepKind::kAttention:
        break;
    }
  }
}

namespace {

// Rows of a task of a stage by rows: at least a task for each worker if there are rows enough.
size_t RowBlock(size_t rows, unsigned workers) {
  const size_t block = std::clamp<size_t>((rows + workers - 1) / workers, 1, kRowBlock);
  return std::max(block, rows / (WorkerTeam::kMaxTasks / 2) + 1);
}

}  // namespace

// Blocks of rows of one text each. A task takes several where there would be too many tasks.
void Executor::PlanTexts(StepState& s) const {
  s.text_blocks.clear();
  const size_t block =
      std::max<size_t>(1, kAttentionBlock / (s.attention.heads / s.attention.kv_heads));
  for (const TextRows& text : text_slots_.texts()) {
    for (size_t begin = 0; begin < text.end - text.begin; begin += block) {
      s.text_blocks.push_back({text.begin + begin, std::min(text.end, text.begin + begin + block),
                               static_cast<size_t>(&text - text_slots_.texts().data())});
    }
  }
  s.blocks_per_task = s.text_blocks.size() * s.attention.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1;
}

// How this call's attention divides into tasks; returns how many.
uint32_t Executor::PlanAttention(StepState& s) const {
  const AttentionShape& shape = s.attention;
  const size_t positions = (s.cached ? first_position_ : 0) + s.rows;
  s.splits = 1;
  if (s.text_ends != nullptr) {
    PlanTexts(s);
    const size_t tasks = (s.text_blocks.size() + s.blocks_per_task - 1) / s.blocks_per_task;
    return static_cast<uint32_t>(shape.kv_heads * tasks);
  }
  if (s.rows == 1 && team_.size() > 1) {
    const size_t visible = shape.window > 0 ? std::min(positions, shape.window) : positions;
    const size_t wanted = (size_t{2} * team_.size() + shape.kv_heads - 1) / shape.kv_heads;
    s.splits =
        std::max<size_t>(1, std::min({wanted, visible / kMinSplitPositions, kMaxAttentionSplits}));
    return static_cast<uint32_t>(shape.kv_heads * s.splits);
  }
  s.block = std::max<size_t>(1, kAttentionBlock / (shape.heads / shape.kv_heads));
  s.block = std::max(s.block, s.rows * shape.kv_heads / (WorkerTeam::kMaxTasks / 2) + 1);
  return static_cast<uint32_t>(shape.kv_heads * ((s.rows + s.block - 1) / s.block));
}

// Attention of some rows of one text to that text, as if it were alone.
void Executor::RunTextBlock(const StepState& s, const TextBlock& block, size_t head,
                            float* scratch) const {
  const TextRows& text = text_slots_.texts()[block.text];
  KvView view = s.view;
  view.keys += text.slot * view.head_dim * view.element_bytes();
  view.values += text.slot * view.padded_dim() * view.element_bytes();
  const size_t width = s.attention.heads * s.attention.head_dim;
  AttentionRows rows;
  rows.query = s.in0 + text.begin * width;
  rows.out = s.out + text.begin * width;
  rows.kv_positions = text.end - text.begin;
  AttendRows(s.attention, view, rows, head, block.begin - text.begin, block.end - text.begin,
             scratch);
}

void Executor::RunAttentionTask(StepState& s, uint32_t task, unsigned worker) {
  const AttentionShape& shape = s.attention;
  auto* scratch = reinterpret_cast<float*>(scratch_.data());
  float* own = scratch + worker * worker_scratch_floats_;
  AttentionRows rows;
  rows.query = s.in0;
  rows.out = s.out;
  rows.first_position = s.cached ? first_position_ : 0;
  rows.kv_positions = rows.first_position + s.rows;
  const size_t head = task % shape.kv_heads;
  if (s.text_ends != nullptr) {
    const size_t first = task / shape.kv_heads * s.blocks_per_task;
    const size_t last = std::min(s.text_blocks.size(), first + s.blocks_per_task);
    for (size_t i = first; i < last; ++i) RunTextBlock(s, s.text_blocks[i], head, own);
    return;
  }
  if (s.splits == 1) {
    // Later rows see more: they go first, so that the short tasks even out the end.
    const size_t blocks = (s.rows + s.block - 1) / s.block;
    const size_t begin = (blocks - 1 - task / shape.kv_heads) * s.block;
    AttendRows(shape, s.view, rows, head, begin, std::min(s.rows, begin + s.block), own);
    return;
  }
  const size_t first =
      shape.window > 0 && rows.kv_positions > shape.window ? rows.kv_positions - shape.window : 0;
  const size_t start = first / kKeyBlock * kKeyBlock;
  const size_t share = ((rows.kv_positions - start) / s.splits + kKeyBlock) / kKeyBlock * kKeyBlock;
  const size_t begin = start + task / shape.kv_heads * share;
  float* partials = scratch + team_.size() * worker_scratch_floats_ +
                    head * kMaxAttentionSplits * PartialFloats(shape);
  AttendPartial(shape, s.view, rows, 0, head, begin, std::min(rows.kv_positions, begin + share),
                own, partials + task / shape.kv_heads * PartialFloats(shape));
  // Whoever finishes a head last puts its parts together.
  if (splits_done_[head].fetch_add(1, std::memory_order_acq_rel) + 1 == s.splits) {
    splits_done_[head].store(0, std::memory_order_relaxed);
    CombinePartials(shape, rows, 0, head, partials, s.splits);
  }
}

uint32_t Executor::TaskCount(uint32_t index) {
  const Stage& stage = schedule_.stages[index];
  if (stage.by_rows) {
    const size_t block = RowBlock(stage.rows, team_.size());
    return static_cast<uint32_t>((stage.rows + block - 1) / block);
  }
  const uint32_t step = schedule_.steps[stage.first];
  if (plan_.steps()[step].kind == StepKind::kLinears)
    return static_cast<uint32_t>(states_[step].tasks.size());
  return PlanAttention(states_[step]);
}

void Executor::RunStageRows(const Stage& stage, size_t begin, size_t end) {
  uint64_t started_ns = profile_ == nullptr ? 0 : Profile::NowNs();
  for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
    const uint32_t step = schedule_.steps[i];
    const StepKind kind = plan_.steps()[step].kind;
    RunRows(states_[step], kind, begin, end);
    if (kind == StepKind::kEmbedding) tables_.DidRead(end - begin);
    if (profile_ != nullptr) started_ns = profile_->AddBusy(kind, started_ns);
  }
}

void Executor::RunTask(uint32_t index, uint32_t task, unsigned worker) {
  // FinishStage ends the pass: what is left undone here is not used.
  if (cancel_->load(std::memory_order_relaxed)) return;
  const Stage& stage = schedule_.stages[index];
  if (stage.by_rows) {
    const size_t block = RowBlock(stage.rows, team_.size());
    const size_t begin = task * block;
    RunStageRows(stage, begin, std::min(stage.rows, begin + block));
    return;
  }
  const uint32_t step = schedule_.steps[stage.first];
  StepState& state = states_[step];
  const StepKind kind = plan_.steps()[step].kind;
  const uint64_t started_ns = profile_ == nullptr ? 0 : Profile::NowNs();
  if (kind == StepKind::kLinears) {
    const uint32_t slice = state.tasks[task];
    if (!state.linears[slice >> 16].slices[slice & 0xFFFF].Run().ok())
      failed_.store(true, std::memory_order_relaxed);
  } else {
    RunAttentionTask(state, task, worker);
  }
  if (profile_ != nullptr) profile_->AddBusy(kind, started_ns);
}

bool Executor::FinishStage(uint32_t index) {
  if (profile_ != nullptr) {
    const Stage& stage = schedule_.stages[index];
    for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
      const uint32_t step = schedule_.steps[i];
      profile_->AddCall(plan_.steps()[step].kind, states_[step].weight_bytes);
    }
    profile_->FinishStage();
  }
  if (!cancel_->load(std::memory_order_relaxed)) return true;
  cancelled_ = true;
  return false;
}

Status Executor::Run(size_t first_position, const std::atomic<bool>& cancel) {
  first_position_ = first_position;
  cancel_ = &cancel;
  cancelled_ = false;
  failed_.store(false, std::memory_order_relaxed);
  if (const int32_t ends = plan_.text_ends(); ends >= 0 && data(ends) != nullptr)
    text_slots_.Assign({static_cast<const int32_t*>(data(ends)), plan_.rows(ends, binding_)});
  if (profile_ != nullptr) profile_->StartPass();
  team_.Run(*this, static_cast<uint32_t>(schedule_.stages.size()));
  if (failed_.load(std::memory_order_relaxed))
    return Error(StatusCode::kInternal, "a prepared operator did not run");
  if (cancelled_) {
    // Parts of a head may be missing, and nobody put the others together.
    for (size_t head = 0; head < most_kv_heads_; ++head)
      splits_done_[head].store(0, std::memory_order_relaxed);
    return Error(StatusCode::kCancelled, "cancelled");
  }
  return OkStatus();
}

}  // namespace graft::runtime
