// SPDX-License-Identifier: Apache-2.0
// The machine, for dev.graft.Native.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

bool GetCpu(JNIEnv* env, graft_cpu_info* cpu) {
  *cpu = {};
  cpu->struct_size = sizeof(*cpu);
  graft_error error = {};
  return Check(env, graft_cpu_get_info(cpu, &error), error);
}

/// The numbers, in the order of dev.graft.CpuInfo's constructor.
jlongArray CpuNumbers(JNIEnv* env, jclass) {
  graft_cpu_info cpu;
  if (!GetCpu(env, &cpu)) return nullptr;
  const int64_t numbers[] = {cpu.cpus, cpu.default_threads};
  return NewLongs(env, numbers, std::size(numbers));
}

/// The CPUs of all groups of big cores, with commas between. False: an exception is pending.
bool BigCpus(JNIEnv* env, std::string* cpus) {
  graft_cpu_group group = {};
  group.struct_size = sizeof(group);
  for (size_t i = 0;; ++i) {
    graft_error error = {};
    const graft_status status = graft_cpu_get_group(i, &group, &error);
    if (status == GRAFT_OUT_OF_RANGE) return true;
    if (!Check(env, status, error)) return false;
    if (group.is_big == 0) continue;
    if (!cpus->empty()) *cpus += ",";
    *cpus += group.cpus;
  }
}

/// "int8 16x8" and so on, with commas between. False: an exception is pending.
bool Kernels(JNIEnv* env, std::string* kernels) {
  graft_kernel_info kernel = {};
  kernel.struct_size = sizeof(kernel);
  for (size_t i = 0;; ++i) {
    graft_error error = {};
    const graft_status status = graft_kernel_get_info(i, &kernel, &error);
    if (status == GRAFT_UNSUPPORTED) continue;
    if (status == GRAFT_OUT_OF_RANGE) return true;
    if (!Check(env, status, error)) return false;
    char text[64];
    std::snprintf(text, sizeof(text), "%s%s %ux%u", kernels->empty() ? "" : ", ", kernel.weights,
                  static_cast<unsigned>(kernel.tile_rows),
                  static_cast<unsigned>(kernel.tile_columns));
    *kernels += text;
  }
}

/// The features (0), the big cores (1) or the kernels (2).
jbyteArray CpuText(JNIEnv* env, jclass, jint which) {
  std::string text;
  if (which == 0) {
    graft_cpu_info cpu;
    if (!GetCpu(env, &cpu)) return nullptr;
    text = cpu.features;
  } else {
    if (!(which == 1 ? BigCpus(env, &text) : Kernels(env, &text))) return nullptr;
  }
  return NewBytes(env, text.data(), text.size());
}

}  // namespace

std::span<const JNINativeMethod> MachineMethods() {
  static const JNINativeMethod methods[] = {
      Method<CpuNumbers>("cpuNumbers", "()[J"),
      Method<CpuText>("cpuText", "(I)[B"),
  };
  return methods;
}

}  // namespace graft::android
