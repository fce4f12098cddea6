// SPDX-License-Identifier: Apache-2.0
// A build that leaves out groups of ops says so of a model that has one, before it packs anything.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/model/model.h"
#include "runtime/ops/make_plan.h"
#include "runtime/session/memory_estimate.h"
#include "schema/generated/model_generated.h"
#include "tests/support/model_builder.h"

namespace graft::test {
namespace {

namespace fb = schema::fb;

// A window of 2 x 2 over an image of 4 x 4, or without one the image as it is.
AlignedBytes OneOp(bool with_window) {
  ModelBuilder model;
  auto& b = model.builder();
  const int32_t pixels =
      model.Input("pixels", {Fixed(16), Fixed(1)}, fb::InputRole::Tensor, fb::ElementType::Float32);
  const int32_t out = model.Value("out", {Fixed(with_window ? 4 : 16), Fixed(1)});
  const fb::ImageWindow window(1, 4, 4, 2, 2, 2, 2, 0, 0, 1, 1);
  if (with_window) {
    model.Op("halve", {pixels}, {out}, fb::OpAttributes::PoolPixels,
             fb::CreatePoolPixels(b, &window, fb::PoolKind::Max).Union());
  } else {
    model.Op("double", {pixels}, {out}, fb::OpAttributes::Scale, fb::CreateScale(b, 2.0f).Union());
  }
  model.Output(out);
  return model.Finish();
}

Status Open(const AlignedBytes& file) {
  runtime::ModelOptions options;
  options.check = runtime::CheckOps;
  return runtime::Model::Open(std::make_unique<runtime::MemorySource>(file.span()), options)
      .status();
}

TEST_SUITE("runtime/left_out_ops") {
  TEST_CASE("an op that is left out is refused by its name and kind") {
    const Status status = Open(OneOp(true));
    CHECK(status.code() == StatusCode::kUnsupported);
    CHECK(std::string(status.message()) ==
          "op 'halve' is of kind PoolPixels, which this build of graft leaves out "
          "(GRAFT_LEAVE_OUT_OPS)");
  }

  TEST_CASE("so is an estimate of its memory") {
    const AlignedBytes file = OneOp(true);
    const auto estimate =
        runtime::EstimateMemory(runtime::MemorySource(file.span()), runtime::SessionOptions(), 1);
    CHECK(estimate.status().code() == StatusCode::kUnsupported);
  }

  TEST_CASE("a model without such ops runs") { CHECK(Open(OneOp(false)).ok()); }
}

}  // namespace
}  // namespace graft::test
