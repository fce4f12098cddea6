// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.GenerateOptions;
import dev.graft.GenerateResult;
import dev.graft.GraftException;
import dev.graft.GraftException.Status;
import dev.graft.Model;
import dev.graft.Session;
import dev.graft.SessionOptions;
import dev.graft.StopReason;
import dev.graft.TokenListener;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;

/** Stopping what runs, from wherever. */
final class CancelTest {
  /** More tokens than any of these cases would wait for. */
  private static final int ENDLESS = 200_000;

  private final Fixtures fixtures;

  CancelTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("another thread cancels, and the session goes on working", this::fromAnotherThread);
    suite.test("a long prompt is cancelled before its first token", this::inPrompt);
    suite.test("the listener itself cancels", this::fromListener);
    suite.test("cancelling without a call does nothing", this::idle);
    suite.test("cancelling one generation leaves the next alone", this::byListener);
    suite.test("a cancel that native code forgets still counts", this::beforeNative);
    suite.test("a listener may not use its session otherwise", this::reentrance);
  }

  static SessionOptions endlessContext() {
    return SessionOptions.builder().contextTokens(ENDLESS).build();
  }

  static GenerateOptions endless() {
    return Fixtures.greedy(ENDLESS);
  }

  private void fromAnotherThread() throws Exception {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(endlessContext())) {
      int[] expected = session.generate("Once", Fixtures.greedy(8)).getIds();
      for (int round = 0; round < 5; ++round) {
        session.reset();
        CountDownLatch started = new CountDownLatch(1);
        FutureTask<GenerateResult> task =
            new FutureTask<>(
                () ->
                    session.generate(
                        "Once",
                        endless(),
                        (id, text) -> {
                          started.countDown();
                          return true;
                        }));
        new Thread(task).start();
        started.await();
        session.cancel();
        Throwable cause = throwsA(java.util.concurrent.ExecutionException.class, task::get).getCause();
        check(((GraftException) cause).isCancelled(), "" + cause);
      }
      session.reset();
      equal(session.generate("Once", Fixtures.greedy(8)).getIds(), expected);
    }
  }

  private void inPrompt() throws Exception {
    int[] prompt = new int[ENDLESS - 1];
    Arrays.fill(prompt, 100);
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(endlessContext())) {
      FutureTask<GenerateResult> task =
          new FutureTask<>(
              () -> session.generate(prompt, endless(), (id, text) -> { throw new AssertionError("a token"); }));
      Thread thread = new Thread(task);
      thread.start();
      while (thread.isAlive()) {
        session.cancel();
        thread.join(1);
      }
      Throwable cause = throwsA(java.util.concurrent.ExecutionException.class, task::get).getCause();
      check(cause instanceof GraftException && ((GraftException) cause).isCancelled(), "" + cause);
    }
  }

  private void fromListener() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(endlessContext())) {
      int[] count = {0};
      fails(
          Status.CANCELLED,
          () ->
              session.generate(
                  "Once",
                  endless(),
                  (id, text) -> {
                    if (++count[0] == 3) session.cancel();
                    return true;
                  }));
      equal(count[0], 3);
    }
  }

  private void idle() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      session.cancel();
      session.cancel((id, text) -> true);
      equal(session.generate("Once", Fixtures.greedy(8)).getStopReason(), StopReason.MAX_TOKENS);
      session.cancel();
      equal(session.generate("Once", Fixtures.greedy(8)).getStopReason(), StopReason.MAX_TOKENS);
    }
  }

  private void byListener() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(endlessContext())) {
      TokenListener old = (id, text) -> true;
      session.generate("Once", Fixtures.greedy(2), old);
      int[] count = {0};
      TokenListener[] self = {null};
      self[0] =
          (id, text) -> {
            session.cancel(count[0]++ < 5 ? old : self[0]);
            return true;
          };
      fails(Status.CANCELLED, () -> session.generate("Once", endless(), self[0]));
      equal(count[0], 6);
    }
  }

  /** Cancels as early as another thread can, often before native code has begun. */
  private void beforeNative() throws Exception {
    try (Model model = fixtures.open("stories260k-f32");
        Session session = model.newSession(endlessContext())) {
      for (int round = 0; round < 50; ++round) {
        session.reset();
        FutureTask<GenerateResult> task = new FutureTask<>(() -> session.generate("Once", endless()));
        Thread thread = new Thread(task);
        thread.start();
        while (thread.isAlive()) session.cancel();
        Throwable cause = throwsA(java.util.concurrent.ExecutionException.class, task::get).getCause();
        check(cause instanceof GraftException && ((GraftException) cause).isCancelled(), "" + cause);
      }
    }
  }

  private void reentrance() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      int[] refused = {0};
      session.generate(
          "Once",
          Fixtures.greedy(3),
          (id, text) -> {
            throwsA(IllegalStateException.class, session::getPosition);
            throwsA(IllegalStateException.class, () -> session.generate("Once"));
            model.tokenize(text, false); // the model is free to use
            ++refused[0];
            return true;
          });
      equal(refused[0], 3);
    }
  }
}
