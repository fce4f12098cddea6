// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import dev.graft.GraftException;
import java.util.Arrays;
import java.util.Objects;

/** Runs test cases, counts them, and has what they check with. */
final class Suite {
  /** A test case. */
  interface Case {
    void run() throws Exception;
  }

  int passed;
  int failed;

  /** Runs one case; a sentence in the present tense says what holds. */
  void test(String sentence, Case body) {
    Throwable[] thrown = {null};
    Thread runner =
        new Thread(
            () -> {
              try {
                body.run();
              } catch (Throwable e) {
                thrown[0] = e;
              }
            });
    runner.setDaemon(true);
    runner.start();
    try {
      runner.join(120_000); // far beyond any case: what hangs is a failure, not a test that never ends
    } catch (InterruptedException e) {
      thrown[0] = e;
    }
    if (runner.isAlive()) {
      thrown[0] = new AssertionError("it hangs");
      thrown[0].setStackTrace(runner.getStackTrace());
    }
    if (thrown[0] == null) {
      ++passed;
    } else {
      ++failed;
      System.out.println("FAILED: " + sentence);
      thrown[0].printStackTrace(System.out);
    }
  }

  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  static void equal(Object actual, Object expected) {
    if (!Objects.deepEquals(actual, expected)) {
      throw new AssertionError(text(actual) + " instead of " + text(expected));
    }
  }

  /** Runs {@code body}, which must throw exactly this type, and gives what it threw. */
  static <T extends Throwable> T throwsA(Class<T> type, Case body) {
    try {
      body.run();
    } catch (Throwable e) {
      if (e.getClass() == type) return type.cast(e);
      throw new AssertionError("threw " + e + " instead of " + type, e);
    }
    throw new AssertionError("threw nothing instead of " + type);
  }

  /** The same for an exception of native code with this status, whose message is a sentence. */
  static GraftException fails(GraftException.Status status, Case body) {
    GraftException e = throwsA(GraftException.class, body);
    equal(e.getStatus(), status);
    check(e.getMessage().length() > 5, "no message");
    return e;
  }

  private static String text(Object value) {
    if (value instanceof int[]) return Arrays.toString((int[]) value);
    if (value instanceof long[]) return Arrays.toString((long[]) value);
    return String.valueOf(value);
  }
}
