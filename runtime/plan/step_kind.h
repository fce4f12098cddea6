// SPDX-License-Identifier: Apache-2.0
// StepKind: all that the device knows of one kind of step. Each is defined in one file of
// runtime/ops, which is where an op is taught.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace graft::runtime {

class PlanBuilder;
class StepRunner;

/// How the work of a step is shared out among threads.
enum class Division : uint8_t {
  kRowLocal,  ///< by rows; row i of the outputs depends on no other rows than i of the inputs
  kByRows,    ///< by rows; each can be computed by itself once all rows of the inputs are there
  kTasks,     ///< into tasks of its own
};

struct StepKind {
  /// "linears", "attention", ...: for messages and profiles.
  const char* name;
  Division division = Division::kRowLocal;
  /// Its time goes into reading packed weights, which is worth starting early.
  bool reads_weights = false;
  /// Makes what runs a step of this kind; null if there is no memory. A kind that the build leaves
  /// out has none: see CheckOps.
  std::unique_ptr<StepRunner> (*make)();
  /// Adds the steps of a graph's op. Null: one step of this kind, with the op's inputs and outputs.
  void (*plan)(PlanBuilder& plan, uint32_t op) = nullptr;
};

/// The kind of each op, in the order of model.fbs's union OpAttributes; the first is null.
using OpTable = std::span<const StepKind* const>;

}  // namespace graft::runtime
