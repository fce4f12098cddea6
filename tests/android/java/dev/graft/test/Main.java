// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

/** Runs all test cases: {@code Main MODELS DATA FOLDER}. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) {
    Fixtures fixtures = new Fixtures(arguments[0], arguments[1], arguments[2]);
    Suite suite = new Suite();
    new OpenTest(fixtures).run(suite);
    new GenerateTest(fixtures).run(suite);
    new TextTest(fixtures).run(suite);
    new ChatTest(fixtures).run(suite);
    new ImageTest(fixtures).run(suite);
    new TensorTest(fixtures).run(suite);
    new CancelTest(fixtures).run(suite);
    new MemoryTest(fixtures).run(suite);
    new LifetimeTest(fixtures).run(suite);
    new CpuTest(fixtures).run(suite);
    new StressTest(fixtures).run(suite);
    System.out.println(suite.passed + " passed, " + suite.failed + " failed");
    System.exit(suite.failed == 0 && suite.passed > 0 ? 0 : 1);
  }
}
