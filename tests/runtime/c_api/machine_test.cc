// SPDX-License-Identifier: Apache-2.0
// Through the C interface: what the machine is, and threads that stay on the CPUs given.
#include <cstddef>
#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "runtime/platform/cpus.h"
#include "tests/runtime/c_api/opened_model.h"

namespace graft::test {
namespace {

TEST_SUITE("runtime/c_api_machine") {
  TEST_CASE("the machine has cores, a number of threads and features") {
    graft_error error{};
    graft_cpu_info cpu{};
    cpu.struct_size = sizeof(cpu);
    REQUIRE_MESSAGE(graft_cpu_get_info(&cpu, &error) == GRAFT_OK, error.message);
    CHECK(cpu.cpus >= 1);
    CHECK(cpu.default_threads >= 1);
    CHECK(cpu.default_threads <= cpu.cpus);
    CHECK(cpu.group_count >= 1);
    CHECK(cpu.vectors[0] != '\0');
#if defined(__aarch64__)
    CHECK(std::strstr(cpu.features, "neon") != nullptr);
#endif
    size_t cores = 0;
    for (uint32_t i = 0; i < cpu.group_count; ++i) {
      graft_cpu_group group{};
      group.struct_size = sizeof(group);
      REQUIRE(graft_cpu_get_group(i, &group, nullptr) == GRAFT_OK);
      const auto cpus = runtime::ParseCpuList(group.cpus);
      REQUIRE(cpus.ok());
      cores += cpus->size();
      CHECK((i > 0 || group.is_big == 1));
    }
    CHECK(cores == cpu.cpus);
    graft_cpu_group group{};
    group.struct_size = sizeof(group);
    CHECK(graft_cpu_get_group(cpu.group_count, &group, nullptr) == GRAFT_OUT_OF_RANGE);

    std::memset(&cpu, 0xAB, sizeof(cpu));
    cpu.struct_size = offsetof(graft_cpu_info, default_threads);  // an older caller
    REQUIRE(graft_cpu_get_info(&cpu, nullptr) == GRAFT_OK);
    CHECK(cpu.cpus >= 1);
    CHECK(cpu.default_threads == 0xABABABAB);
    cpu.struct_size = 0;
    CHECK(graft_cpu_get_info(&cpu, nullptr) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_cpu_get_info(nullptr, nullptr) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_cpu_get_group(0, nullptr, nullptr) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_kernel_get_info(0, nullptr, nullptr) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("every format of weights has a kernel, with a tile") {
    std::string names;
    for (size_t i = 0;; ++i) {
      graft_kernel_info kernel{};
      kernel.struct_size = sizeof(kernel);
      graft_error error{};
      const graft_status status = graft_kernel_get_info(i, &kernel, &error);
      if (status == GRAFT_OUT_OF_RANGE) break;
      REQUIRE_MESSAGE(status == GRAFT_OK, error.message);
      names.append(kernel.weights).append(" ");
      CAPTURE(kernel.weights);
      CHECK(kernel.tile_rows >= 1);
      CHECK(kernel.tile_columns >= 1);
      CHECK(kernel.tile_columns <= 16);
    }
    CHECK(names == "f32 int8 int4-block int4-channel ");
  }

  TEST_CASE("a session's threads stay on the CPUs given, and lists that cannot be are refused") {
    const OpenedModel model;
    const std::string last = std::to_string(runtime::UsableCpus().back());
    graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
    graft_session* session = nullptr;
    graft_error error{};
    options.cpus = last.c_str();
    REQUIRE_MESSAGE(graft_session_create(model.handle, &options, &session, &error) == GRAFT_OK,
                    error.message);
    graft_session_info info{};
    info.struct_size = sizeof(info);
    REQUIRE(graft_session_get_info(session, &info, nullptr) == GRAFT_OK);
    CHECK(info.threads == 1);  // one for each
    graft_session_destroy(session);
    options.threads = 3;
    REQUIRE(graft_session_create(model.handle, &options, &session, &error) == GRAFT_OK);
    const int32_t prompt[] = {5, 6};
    graft_generate_options generate = GRAFT_GENERATE_OPTIONS_INIT;
    generate.max_tokens = 3;
    CHECK(graft_session_generate(session, prompt, 2, &generate, nullptr, nullptr, nullptr,
                                 &error) == GRAFT_OK);
    graft_session_destroy(session);
    options.cpus = "";
    REQUIRE(graft_session_create(model.handle, &options, &session, &error) == GRAFT_OK);
    graft_session_destroy(session);
    session = nullptr;
    for (const char* cpus : {"1022", "0-", "all", "5000"}) {
      CAPTURE(cpus);
      options.cpus = cpus;
      CHECK(graft_session_create(model.handle, &options, &session, &error) ==
            GRAFT_INVALID_ARGUMENT);
      CHECK(session == nullptr);
      CHECK(std::strstr(error.message, cpus) != nullptr);
    }
  }
}

}  // namespace
}  // namespace graft::test
