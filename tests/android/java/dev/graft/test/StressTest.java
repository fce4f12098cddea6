// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.equal;

import dev.graft.Model;
import dev.graft.Session;
import dev.graft.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;

/** Several threads, and a garbage collector that moves what it can. */
final class StressTest {
  private static final int TOKENS = 120;

  private final Fixtures fixtures;

  StressTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("two sessions in two threads give what each gives alone", this::twoSessions);
    suite.test("garbage collections during streaming change nothing", this::collections);
    suite.test("many callbacks and outputs leave no references behind", this::manyCallbacks);
  }

  private int[] alone(Model model, String prompt) {
    try (Session session = model.newSession()) {
      return session.generate(prompt, Fixtures.greedy(TOKENS)).getIds();
    }
  }

  /** Generates in two threads at once on one model; each token makes garbage. */
  private void checkTogether(Model model) throws Exception {
    String[] prompts = {"Once upon a time", "The man opened"};
    List<int[]> expected = new ArrayList<>();
    List<FutureTask<int[]>> tasks = new ArrayList<>();
    for (String prompt : prompts) expected.add(alone(model, prompt));
    for (String prompt : prompts) {
      tasks.add(
          new FutureTask<>(
              () -> {
                try (Session session = model.newSession()) {
                  StringBuilder text = new StringBuilder();
                  List<byte[]> garbage = new ArrayList<>();
                  int[] ids =
                      session
                          .generate(
                              prompt,
                              Fixtures.greedy(TOKENS),
                              (id, piece) -> {
                                text.append(piece);
                                if (garbage.size() > 16) garbage.clear();
                                return garbage.add(new byte[100_000]);
                              })
                          .getIds();
                  equal(text.length() > 0, true);
                  return ids;
                }
              }));
    }
    for (FutureTask<int[]> task : tasks) new Thread(task).start();
    for (int i = 0; i < prompts.length; ++i) equal(tasks.get(i).get(), expected.get(i));
  }

  private void twoSessions() throws Exception {
    try (Model model = fixtures.open("tales-holmes-int4")) {
      for (int round = 0; round < 10; ++round) checkTogether(model);
    }
  }

  private void collections() throws Exception {
    AtomicBoolean ends = new AtomicBoolean();
    Thread collector =
        new Thread(
            () -> {
              while (!ends.get()) System.gc();
            });
    collector.setDaemon(true);
    collector.start();
    try (Model model = fixtures.open("tales-holmes-int4")) {
      for (int round = 0; round < 3; ++round) checkTogether(model);
    } finally {
      ends.set(true);
    }
    collector.join();
  }

  private void manyCallbacks() {
    try (Model model = fixtures.open("stories260k-f32");
        Session session = model.newSession(CancelTest.endlessContext())) {
      int[] count = {0};
      session.generate("Once", Fixtures.greedy(3000), (id, text) -> ++count[0] > 0);
      equal(count[0] >= 3000, true);
      for (int i = 0; i < 300; ++i) {
        equal(session.forward(Tensor.ofInts("input_ids", new int[] {1, 2, 3}, 3)).size(), 1);
      }
    }
  }
}
