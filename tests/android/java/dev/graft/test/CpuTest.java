// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.CpuInfo;
import dev.graft.GraftException.Status;
import dev.graft.Model;
import dev.graft.Session;
import dev.graft.SessionOptions;

/** The cores there are, and sessions that stay on some of them. */
final class CpuTest {
  private final Fixtures fixtures;

  CpuTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("the CPU has cores, features and kernels", this::info);
    suite.test("a session stays on the CPUs it is given", this::affinity);
    suite.test("CPUs that are not there are INVALID_ARGUMENT", this::noSuchCpu);
  }

  private void info() {
    CpuInfo cpu = CpuInfo.read();
    check(cpu.getCpus() >= 1, "" + cpu);
    check(cpu.getDefaultThreads() >= 1 && cpu.getDefaultThreads() <= cpu.getCpus(), "" + cpu);
    check(cpu.getBigCpus().matches("[0-9,-]+"), "" + cpu);
    check(cpu.getFeatures().matches("[a-z0-9. -]+"), "" + cpu);
    check(cpu.getKernels().matches("f32 [0-9]+x[0-9]+, int8 .*, int4-block .*, int4-channel .*"), "" + cpu);
  }

  private void affinity() {
    SessionOptions big = SessionOptions.builder().cpus(CpuInfo.read().getBigCpus()).build();
    SessionOptions one = SessionOptions.builder().cpus(CpuInfo.read().getBigCpus().replaceAll("[,-].*", "")).build();
    try (Model model = fixtures.open("tales-base-f32");
        Session anywhere = model.newSession();
        Session onBig = model.newSession(big);
        Session onOne = model.newSession(one)) {
      int[] expected = anywhere.generate("Once", Fixtures.greedy(16)).getIds();
      equal(onBig.generate("Once", Fixtures.greedy(16)).getIds(), expected);
      equal(onOne.generate("Once", Fixtures.greedy(16)).getIds(), expected);
      equal(onOne.getInfo().getThreads(), 1);
    }
  }

  private void noSuchCpu() {
    try (Model model = fixtures.open("tales-base-f32")) {
      for (String cpus : new String[] {"1000", "big", "0-", "\uD83D\uDE00"}) {
        SessionOptions options = SessionOptions.builder().cpus(cpus).build();
        String message = fails(Status.INVALID_ARGUMENT, () -> model.newSession(options)).getMessage();
        check(message.contains(cpus), message);
      }
      throwsA(IllegalArgumentException.class, () -> SessionOptions.builder().cpus("0\0"));
      throwsA(NullPointerException.class, () -> SessionOptions.builder().cpus(null));
    }
  }
}
