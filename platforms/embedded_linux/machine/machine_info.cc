// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/machine/machine_info.h"

#include <cstdio>
#include <string>
#include <vector>

#include <graft/graft.h>

namespace graft_run {
namespace {

struct Machine {
  graft_cpu_info cpu{};
  std::vector<graft_cpu_group> groups;
  std::vector<graft_kernel_info> kernels;  // tile_rows 0: no kernel for these weights
};

int ReadMachine(Machine* machine) {
  graft_error error{};
  machine->cpu.struct_size = sizeof(machine->cpu);
  if (graft_cpu_get_info(&machine->cpu, &error) != GRAFT_OK) return Fail("", error.message);
  for (size_t i = 0;; ++i) {
    graft_cpu_group group{};
    group.struct_size = sizeof(group);
    const graft_status status = graft_cpu_get_group(i, &group, &error);
    if (status == GRAFT_OUT_OF_RANGE) break;
    if (status != GRAFT_OK) return Fail("", error.message);
    machine->groups.push_back(group);
  }
  for (size_t i = 0;; ++i) {
    graft_kernel_info kernel{};
    kernel.struct_size = sizeof(kernel);
    const graft_status status = graft_kernel_get_info(i, &kernel, &error);
    if (status == GRAFT_OUT_OF_RANGE) return kExitOk;
    if (status == GRAFT_OK) machine->kernels.push_back(kernel);
    if (status != GRAFT_OK && status != GRAFT_UNSUPPORTED) return Fail("", error.message);
  }
}

std::string DescribeGroup(const graft_cpu_group& group) {
  std::string text = Format("%s: %s", group.cpus, group.name[0] != '\0' ? group.name : "unknown");
  if (group.max_mhz != 0) text += Format(", %u MHz", group.max_mhz);
  if (group.capacity != 0) text += Format(", capacity %u", group.capacity);
  return text + (group.is_big != 0 ? ", big" : ", little");
}

}  // namespace

int ShowMachine() {
  Machine machine;
  if (const int code = ReadMachine(&machine); code != kExitOk) return code;
  const char* title = "cpus";
  for (const graft_cpu_group& group : machine.groups) {
    std::printf("%-13s %s\n", title, DescribeGroup(group).c_str());
    title = "";
  }
  std::printf("features      %s\n", machine.cpu.features);
  if (machine.cpu.quota_cpus != 0) std::printf("quota         %u CPUs\n", machine.cpu.quota_cpus);
  std::printf("threads       %u by default\n", machine.cpu.default_threads);
  title = "kernels";
  for (const graft_kernel_info& kernel : machine.kernels) {
    std::printf("%-13s %-12s tiles of %u rows, %u columns at a time\n", title, kernel.weights,
                kernel.tile_rows, kernel.tile_columns);
    title = "";
  }
  std::printf("%-13s %-12s %s\n", title, "other ops", machine.cpu.vectors);
  return kExitOk;
}

int DescribeMachine(JsonObject* object) {
  Machine machine;
  if (const int code = ReadMachine(&machine); code != kExitOk) return code;
  std::vector<JsonObject> groups;
  for (const graft_cpu_group& group : machine.groups) {
    groups.push_back(JsonObject()
                         .String("name", group.name)
                         .String("cpus", group.cpus)
                         .Integer("capacity", group.capacity)
                         .Integer("max_mhz", group.max_mhz)
                         .Bool("big", group.is_big != 0));
  }
  std::vector<JsonObject> kernels;
  for (const graft_kernel_info& kernel : machine.kernels) {
    kernels.push_back(JsonObject()
                          .String("weights", kernel.weights)
                          .Integer("tile_rows", kernel.tile_rows)
                          .Integer("tile_columns", kernel.tile_columns));
  }
  object->Integer("cpus", machine.cpu.cpus)
      .Integer("quota_cpus", machine.cpu.quota_cpus)
      .Integer("default_threads", machine.cpu.default_threads)
      .String("features", machine.cpu.features)
      .String("vectors", machine.cpu.vectors)
      .Objects("groups", groups)
      .Objects("kernels", kernels);
  return kExitOk;
}

}  // namespace graft_run
