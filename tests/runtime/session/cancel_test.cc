// SPDX-License-Identifier: Apache-2.0
// Cancelling in the middle of a pass, at a place that is known: the weight of one step lies in
// pages that may not be read, and the fault cancels.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "tests/support/graph_maker.h"

namespace graft::test {
namespace {

constexpr size_t kWide = 16384;  // floats: more than two pages of 16 KiB
constexpr size_t kNarrow = 16;
constexpr size_t kLinearsBefore = 2;
constexpr size_t kLinearsAfter = 9;
constexpr size_t kRows = 40;

struct Trap {
  runtime::Session* session = nullptr;
  uint8_t* begin = nullptr;
  size_t bytes = 0;
};
Trap trap;  // a handler has no other way to reach it

void OnFault(int, siginfo_t* info, void*) {
  const auto* at = static_cast<const uint8_t*>(info->si_addr);
  if (at < trap.begin || at >= trap.begin + trap.bytes) {
    signal(SIGSEGV, SIG_DFL);  // a fault of another kind: die of it
    return;
  }
  trap.session->Cancel();
  mprotect(trap.begin, trap.bytes, PROT_READ | PROT_WRITE);
}

uint64_t CallsOf(const runtime::Session& session, const std::string& kind) {
  const auto times = session.step_times();
  const auto found = std::find_if(times.begin(), times.end(),
                                  [&](const runtime::StepTime& time) { return time.kind == kind; });
  return found == times.end() ? 0 : found->totals.calls;
}

TEST_SUITE("runtime/cancel") {
  TEST_CASE("no step runs after the one that a cancel comes in") {
    GraphMaker graph(5);
    const auto linear = [&](int32_t x, size_t out, size_t in) {
      return graph.Linear(x, graph.RandomWeight("weight", fb::TensorFormat::Float32, out, in));
    };
    int32_t x = graph.TensorInput("x", kNarrow);
    x = linear(x, kNarrow, kNarrow);
    x = linear(x, kWide, kNarrow);
    const Weight norm = graph.RandomVector("norm", kWide, 1.0, 0.1);
    x = graph.RmsNorm(x, kWide, norm, 1e-5f);
    x = linear(x, kNarrow, kWide);
    for (size_t i = 1; i < kLinearsAfter; ++i) x = linear(x, kNarrow, kNarrow);
    graph.Output(x);
    const auto model = graph.Open();
    const schema::VerifiedModel& verified = model->verified();
    const auto weight =
        verified.tensor_bytes(*verified.model().tensors()->Get(static_cast<uint32_t>(norm.tensor)))
            .data;
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(weight.data()) + page - 1) / page * page;
    const uintptr_t end = reinterpret_cast<uintptr_t>(weight.data() + weight.size()) / page * page;
    REQUIRE(begin < end);
    const std::vector<float> numbers = RandomFloats(graph.random(), kRows * kNarrow);

    struct sigaction action {
    }, before{};
    action.sa_sigaction = OnFault;
    action.sa_flags = SA_SIGINFO;
    for (const unsigned threads : {1u, 2u}) {
      const auto session = NewSession(model, {.threads = threads});
      const Numbers expected = ForwardNumbers(*session, numbers, kNarrow);
      session->MeasureSteps(true);
      trap = {session.get(), reinterpret_cast<uint8_t*>(begin), end - begin};
      REQUIRE(sigaction(SIGSEGV, &action, &before) == 0);
      REQUIRE(mprotect(trap.begin, trap.bytes, PROT_NONE) == 0);
      const runtime::TensorView input = {
          "x", runtime::ElementType::kFloat32, {kRows, kNarrow}, numbers.data()};
      const auto outputs = session->Forward({&input, 1});
      sigaction(SIGSEGV, &before, nullptr);
      CHECK(outputs.status().code() == StatusCode::kCancelled);
      CHECK(CallsOf(*session, "linears") == kLinearsBefore);
      session->ClearCancel();
      session->MeasureSteps(true);
      CHECK(ForwardNumbers(*session, numbers, kNarrow).at == expected.at);
      CHECK(CallsOf(*session, "linears") == kLinearsBefore + kLinearsAfter);
    }
  }

  TEST_CASE("a pass that is cancelled before it begins computes nothing") {
    GraphMaker graph(6);
    const Weight weight = graph.RandomWeight("weight", fb::TensorFormat::Float32, kNarrow, kNarrow);
    graph.Output(graph.Linear(graph.TensorInput("x", kNarrow), weight));
    const auto session = NewSession(graph.Open(), {.threads = 1});
    const std::vector<float> numbers = RandomFloats(graph.random(), kRows * kNarrow);
    const runtime::TensorView input = {
        "x", runtime::ElementType::kFloat32, {kRows, kNarrow}, numbers.data()};
    session->MeasureSteps(true);
    session->Cancel();
    CHECK(session->Forward({&input, 1}).status().code() == StatusCode::kCancelled);
    // The one step is told as ended, but no task of it took time.
    for (const runtime::StepTime& time : session->step_times()) CHECK(time.totals.busy_ns == 0);
  }
}

}  // namespace
}  // namespace graft::test
