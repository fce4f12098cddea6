// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/cpu_features.h"

#include <cpuinfo.h>

namespace graft::runtime {

std::string CpuFeatures() {
  std::string text;
  const auto add = [&](bool has, const char* name) {
    if (has) text.append(text.empty() ? "" : " ").append(name);
  };
#if defined(__x86_64__) || defined(__i386__)
  add(cpuinfo_has_x86_sse4_1(), "sse4.1");
  add(cpuinfo_has_x86_avx(), "avx");
  add(cpuinfo_has_x86_f16c(), "f16c");
  add(cpuinfo_has_x86_fma3(), "fma");
  add(cpuinfo_has_x86_avx2(), "avx2");
  add(cpuinfo_has_x86_avxvnni(), "avxvnni");
  add(cpuinfo_has_x86_avx_vnni_int8(), "avxvnniint8");
  add(cpuinfo_has_x86_gfni(), "gfni");
  add(cpuinfo_has_x86_avx512f(), "avx512f");
  add(cpuinfo_has_x86_avx512bw(), "avx512bw");
  add(cpuinfo_has_x86_avx512vnni(), "avx512vnni");
  add(cpuinfo_has_x86_avx512bf16(), "avx512bf16");
  add(cpuinfo_has_x86_avx512fp16(), "avx512fp16");
  add(cpuinfo_has_x86_amx_int8(), "amx-int8");
#elif defined(__aarch64__) || defined(__arm__)
  add(cpuinfo_has_arm_neon(), "neon");
  add(cpuinfo_has_arm_neon_fp16_arith(), "fp16");
  add(cpuinfo_has_arm_neon_dot(), "dotprod");
  add(cpuinfo_has_arm_i8mm(), "i8mm");
  add(cpuinfo_has_arm_neon_bf16(), "bf16");
  add(cpuinfo_has_arm_sve(), "sve");
  add(cpuinfo_has_arm_sve2(), "sve2");
  add(cpuinfo_has_arm_sme(), "sme");
  add(cpuinfo_has_arm_sme2(), "sme2");
#endif
  return text;
}

}  // namespace graft::runtime
