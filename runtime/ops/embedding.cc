// SPDX-License-Identifier: Apache-2.0
// Embedding: rows of a table by number.
#include "runtime/kernels/embedding.h"

#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/model/pack_layout.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class Embedding final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Embedding& embedding = source.attributes<schema::fb::Embedding>();
    const schema::VerifiedModel& model = source.plan.model();
    table_ =
        MatrixOf(model, *model.model().tensors()->Get(static_cast<uint32_t>(embedding.table())));
    scale_ = embedding.scale();
    tables_ = &source.tables;
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      ReadRow(table_, static_cast<size_t>(ids_[row]), scale_, out(row));
    tables_->DidRead(end - begin);
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    ids_ = places.input<int32_t>(0);
    return OkStatus();
  }

 private:
  StoredMatrix table_;
  float scale_ = 1.0f;
  const LookupTables* tables_ = nullptr;
  const int32_t* ids_ = nullptr;
};

}  // namespace

const StepKind kEmbedding = {.name = "embedding", .make = MakeRunner<Embedding>};

}  // namespace graft::runtime::ops
