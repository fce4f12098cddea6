// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.GenerateResult;
import dev.graft.GraftException;
import dev.graft.GraftException.Status;
import dev.graft.KvFormat;
import dev.graft.Model;
import dev.graft.Session;
import dev.graft.SessionOptions;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/** Closing, in every order and from every thread. */
final class LifetimeTest {
  private final Fixtures fixtures;

  LifetimeTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("closing twice is fine", this::closeTwice);
    suite.test("use after close is an IllegalStateException", this::useAfterClose);
    suite.test("a session outlives its model", this::sessionOutlives);
    suite.test("closing while another thread generates cancels, waits and frees", this::closeWhileGenerating);
    suite.test("closing while another thread is in a long prompt does too", this::closeInPrompt);
    suite.test("several threads close at once", this::closeFromMany);
    suite.test("a listener closes its own session", this::closeFromListener);
    suite.test("a call that waits for its turn learns of the closing", this::closeWhileWaiting);
    suite.test("an interrupted thread closes, and stays interrupted", this::closeInterrupted);
    suite.test("calls of two threads on one session take turns", this::turns);
    suite.test("what cannot be made leaves the model usable", this::failedSession);
    if (System.getenv("ASAN_OPTIONS") == null) { // the sanitizer's own memory would end first
      suite.test("a session beyond the memory is OUT_OF_MEMORY, and harms no other", this::outOfMemory);
    }
    suite.test("nothing is left after closing: no thread, no descriptor", this::nothingLeft);
  }

  private void closeTwice() {
    Model model = fixtures.open("tales-base-f32");
    Session session = model.newSession();
    check(!session.isClosed() && !model.isClosed(), "closed");
    session.close();
    session.close();
    model.close();
    model.close();
    check(session.isClosed() && model.isClosed(), "not closed");
  }

  private void useAfterClose() {
    Model model = fixtures.open("tales-base-f32");
    Session session = model.newSession();
    session.close();
    session.cancel();
    Suite.Case[] calls = {
      () -> session.generate("Once"), () -> session.generate(new int[] {1}, Fixtures.greedy(1), null), session::getPosition, session::getInfo,
      session::reset, () -> session.append(new int[] {1}), () -> session.keepPrefix(new int[] {1}), session::forward,
      () -> session.save(fixtures.scratch("a")), () -> session.restore(fixtures.scratch("a"))
    };
    for (Suite.Case call : calls) throwsA(IllegalStateException.class, call);
    model.close();
    throwsA(IllegalStateException.class, model::newSession);
    throwsA(IllegalStateException.class, model::getInfo);
    throwsA(IllegalStateException.class, () -> model.tokenize("a", false));
    throwsA(IllegalStateException.class, () -> model.detokenize(new int[] {1}, false));
  }

  private void sessionOutlives() {
    Model model = fixtures.open("tales-base-f32");
    Session one = model.newSession();
    Session two = model.newSession();
    int[] expected = one.generate("Once", Fixtures.greedy(10)).getIds();
    model.close();
    one.close();
    equal(two.generate("Once", Fixtures.greedy(10)).getIds(), expected);
    two.close();
  }

  /** Starts an endless generation, and returns once it has given a token. */
  private static FutureTask<GenerateResult> startEndless(Session session) throws InterruptedException {
    CountDownLatch started = new CountDownLatch(1);
    FutureTask<GenerateResult> task =
        new FutureTask<>(
            () -> {
              return session.generate(
                  "Once",
                  CancelTest.endless(),
                  (id, text) -> {
                    started.countDown();
                    return true;
                  });
            });
    new Thread(task).start();
    started.await();
    return task;
  }

  private static void checkCancelled(FutureTask<?> task) {
    Throwable cause = throwsA(ExecutionException.class, task::get).getCause();
    check(cause instanceof GraftException && ((GraftException) cause).isCancelled(), "" + cause);
  }

  private void closeWhileGenerating() throws Exception {
    for (int round = 0; round < 10; ++round) {
      Model model = fixtures.open("tales-base-int4");
      Session session = model.newSession(CancelTest.endlessContext());
      FutureTask<GenerateResult> task = startEndless(session);
      if (round % 2 == 0) model.close();
      session.close();
      throwsA(IllegalStateException.class, session::getPosition);
      checkCancelled(task);
      model.close();
    }
  }

  private void closeInPrompt() throws Exception {
    int[] prompt = new int[150_000];
    Arrays.fill(prompt, 100);
    try (Model model = fixtures.open("tales-base-f32")) {
      Session session = model.newSession(CancelTest.endlessContext());
      CountDownLatch started = new CountDownLatch(1);
      FutureTask<GenerateResult> task =
          new FutureTask<>(
              () -> {
                started.countDown();
                return session.generate(prompt, CancelTest.endless(), null);
              });
      new Thread(task).start();
      started.await();
      session.close();
      Throwable cause = throwsA(ExecutionException.class, task::get).getCause();
      boolean hadNotBegun = cause instanceof IllegalStateException;
      check(hadNotBegun || ((GraftException) cause).isCancelled(), "" + cause);
    }
  }

  private void closeFromMany() throws Exception {
    try (Model model = fixtures.open("tales-base-int4")) {
      Session session = model.newSession(CancelTest.endlessContext());
      FutureTask<GenerateResult> task = startEndless(session);
      Thread[] closers = new Thread[4];
      for (int i = 0; i < closers.length; ++i) (closers[i] = new Thread(session::close)).start();
      for (Thread closer : closers) closer.join();
      checkCancelled(task);
    }
  }

  private void closeFromListener() {
    try (Model model = fixtures.open("tales-base-f32")) {
      Session session = model.newSession(CancelTest.endlessContext());
      int[] count = {0};
      fails(
          Status.CANCELLED,
          () ->
              session.generate(
                  "Once",
                  CancelTest.endless(),
                  (id, text) -> {
                    ++count[0];
                    session.close();
                    return true;
                  }));
      equal(count[0], 1);
      throwsA(IllegalStateException.class, session::getPosition);
    }
  }

  private void closeWhileWaiting() throws Exception {
    try (Model model = fixtures.open("tales-base-int4")) {
      Session session = model.newSession(CancelTest.endlessContext());
      FutureTask<GenerateResult> running = startEndless(session);
      FutureTask<GenerateResult> waiting = new FutureTask<>(() -> session.generate("Once"));
      Thread thread = new Thread(waiting);
      thread.start();
      while (thread.getState() != Thread.State.WAITING) Thread.onSpinWait();
      session.close();
      checkCancelled(running);
      Throwable cause = throwsA(ExecutionException.class, waiting::get).getCause();
      check(cause instanceof IllegalStateException, "" + cause);
    }
  }

  private void closeInterrupted() throws Exception {
    try (Model model = fixtures.open("tales-base-int4")) {
      Session session = model.newSession(CancelTest.endlessContext());
      FutureTask<GenerateResult> task = startEndless(session);
      Thread.currentThread().interrupt();
      session.close();
      check(Thread.interrupted(), "the interruption is lost");
      checkCancelled(task);
    }
  }

  private void turns() throws Exception {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(CancelTest.endlessContext())) {
      FutureTask<?>[] tasks = new FutureTask<?>[4];
      for (int i = 0; i < tasks.length; ++i) {
        tasks[i] = new FutureTask<>(() -> session.generate(new int[] {5}, Fixtures.greedy(50), null));
        new Thread(tasks[i]).start();
      }
      for (FutureTask<?> task : tasks) equal(((GenerateResult) task.get()).getGeneratedTokens(), 50);
      equal(session.getPosition(), 4 * 50); // the last token of each is not held
    }
  }

  private void failedSession() {
    try (Model model = fixtures.open("tales-base-f32")) {
      SessionOptions impossible = SessionOptions.builder().contextTokens(Integer.MAX_VALUE).build();
      for (int i = 0; i < 3; ++i) fails(Status.INVALID_ARGUMENT, () -> model.newSession(impossible));
      try (Session session = model.newSession()) {
        equal(session.generate("Once", Fixtures.greedy(3)).getIds().length, 3);
      }
    }
  }

  /** Lets this process have so much more address space, or all again. */
  private static void limitMemory(long moreBytes) throws Exception {
    String limit = "unlimited";
    if (moreBytes >= 0) {
      for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
        if (line.startsWith("VmSize:")) limit = "" + (Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024 + moreBytes);
      }
    }
    Process process =
        new ProcessBuilder("prlimit", "--pid", "" + ProcessHandle.current().pid(), "--as=" + limit + ":").inheritIO().start();
    equal(process.waitFor(), 0);
  }

  private void outOfMemory() throws Exception {
    SessionOptions large = SessionOptions.builder().contextTokens(1_000_000).kvFormat(KvFormat.FLOAT32).build();
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      limitMemory(512L << 20); // the large one asks for 3 GB
      try {
        String message = fails(Status.OUT_OF_MEMORY, () -> model.newSession(large)).getMessage();
        check(message.matches(".*[0-9].*"), "it does not say how much: " + message);
        equal(session.generate("Once", Fixtures.greedy(3)).getIds().length, 3);
      } finally {
        limitMemory(-1);
      }
      model.newSession(large).close();
    }
  }

  private static int entries(String folder) {
    return new java.io.File(folder).list().length;
  }

  private void nothingLeft() throws Exception {
    SessionOptions two = SessionOptions.builder().threads(2).build();
    int threads = 0;
    int descriptors = 0;
    for (int round = 0; round < 60; ++round) {
      try (Model model = fixtures.open("stories260k-f32");
          Session session = model.newSession(two)) {
        session.generate("Once", Fixtures.greedy(3));
      }
      if (round == 20) { // the JVM's own have settled
        threads = entries("/proc/self/task");
        descriptors = entries("/proc/self/fd");
      }
    }
    // The JVM may start a compiler thread meanwhile; forty sessions' threads would be far more.
    check(entries("/proc/self/task") <= threads + 10, "threads: " + threads + ", then " + entries("/proc/self/task"));
    check(entries("/proc/self/fd") <= descriptors + 10, "descriptors: " + descriptors + ", then " + entries("/proc/self/fd"));
  }
}
