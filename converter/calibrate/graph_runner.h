// SPDX-License-Identifier: Apache-2.0
// Runs a language model's graph over many texts, op by op.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "converter/calibrate/scratch.h"
#include "converter/calibrate/text_ops.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Graph;
}  // namespace graft::schema::fb

namespace graft::converter {

class GraphRunner {
 public:
  struct Options {
    std::filesystem::path folder;  ///< Where values lie; see Scratch.
    int threads = 1;
    bool in_memory = false;  ///< Values lie in memory instead.
    /// Rows of the batch that SelectRows leaves; empty: all.
    std::vector<size_t> selected_rows = {};
    /// What computes linear ops, whose weights then need not be among the tensors; empty: RunOp.
    std::function<Status(const OpCall&)> linear = {};
  };

  /// Called before each linear op runs, with its index among the graph's ops and the rows of its
  /// input. Returns the rows that the op is to take instead.
  using BeforeLinear = std::function<Result<std::span<const float>>(
      size_t op, std::span<const float> input, size_t width)>;

  /// Whether every op of the graph can be run.
  /// Errors   kUnsupported, naming the op or the input.
  static Status Check(const schema::fb::Graph& graph);

  /// Requires Check(graph) is OK. `graph` and `tensors` must outlive the runner; numbers of tensors
  /// may change between ops.
  GraphRunner(const schema::fb::Graph& graph, const TensorNumbers& tensors, Options options)
      : graph_(graph), tensors_(tensors), options_(std::move(options)) {}

  /// Makes room for `most_rows` of each of `sequences` texts, so that batches may have a past.
  /// Errors   kIo.
  Status KeepPast(size_t sequences, size_t most_rows);

  /// Runs all ops for `batch`. `before` may be empty. `last_op`: the op after which the rest is left
  /// out, not run itself either if `before` is given.
  /// Errors   those of `before`, kIo, kCancelled.
  Status Run(const Batch& batch, const BeforeLinear& before, size_t last_op);

  /// Runs ops [begin, end) alone, which take of earlier ones the value `given` only, `numbers`.
  /// What they leave in the value `wanted` is output() then. -1: nothing is given.
  /// Errors   kIo, kCancelled.
  Status RunPart(const Batch& batch, size_t begin, size_t end, int32_t given,
                 std::span<const float> numbers, int32_t wanted);

  /// What the last Run computed for the graph's first output: [rows, width].
  std::span<const float> output() const { return output_.numbers(); }

 private:
  Status RunOne(const Batch& batch, const BeforeLinear& before, size_t index, bool computes);
  void StartPass();
  void FreeUnread(size_t index);
  Operand OperandOf(int32_t value, const Batch& batch) const;
  size_t WidthOf(int32_t value) const;
  Result<Scratch> MakeRoom(size_t count) const;
  bool HasSelectedRows(const schema::fb::Op& op, const Batch& batch) const;
  void SelectRows(const Operand& from, float* to) const;

  const schema::fb::Graph& graph_;
  const TensorNumbers& tensors_;
  Options options_;
  std::vector<Scratch> values_;
  std::vector<size_t> last_reader_;  // of each value: the index of an op
  std::vector<Scratch> caches_;      // of each op
  Scratch output_;
};

}  // namespace graft::converter
