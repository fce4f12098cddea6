// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import android.os.ParcelFileDescriptor;
import dev.graft.GenerateOptions;
import dev.graft.GraftException.Status;
import dev.graft.KvFormat;
import dev.graft.MemoryEstimate;
import dev.graft.Model;
import dev.graft.ModelInfo;
import dev.graft.ModelOptions;
import dev.graft.Session;
import dev.graft.SessionInfo;
import dev.graft.SessionOptions;
import dev.graft.Tensor;
import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;

/** What a model will take, limits, and giving memory back. */
final class MemoryTest {
  private static final String NAME = "tales-holmes-int4";

  private final Fixtures fixtures;

  MemoryTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("an estimate agrees with the model and the session that are made", this::estimate);
    suite.test("an estimate of a descriptor is that of the file", this::estimateDescriptor);
    suite.test("an estimate of what is no model is refused", this::estimateRefused);
    suite.test("a limit refuses sessions and models in words, and what fits works", this::limits);
    suite.test("a limit holds for the outputs of a forward pass", this::forwardLimit);
    suite.test("trims change no token", this::trim);
    suite.test("a trim while a call runs is done when it ends, and never waits", this::trimWhileGenerating);
    suite.test("trims after closing", this::trimClosed);
  }

  private void estimate() {
    File file = fixtures.modelFile(NAME);
    SessionOptions options = SessionOptions.builder().contextTokens(256).threads(2).build();
    MemoryEstimate estimate = Model.estimate(file, options);
    try (Model model = Model.open(file);
        Session session = model.newSession(options)) {
      ModelInfo info = model.getInfo();
      SessionInfo sessionInfo = session.getInfo();
      equal(estimate.getContextTokens(), sessionInfo.getContextTokens());
      equal(estimate.getThreads(), sessionInfo.getThreads());
      equal(estimate.getKvFormat(), sessionInfo.getKvFormat());
      equal(estimate.getFileBytes(), info.getFileBytes());
      equal(estimate.getPackedBytes(), info.getPackedBytes());
      long kv = 256 * sessionInfo.getCacheBytesPerToken();
      check(estimate.getKvBytes() >= kv && estimate.getKvBytes() < kv + 1024, "kv " + estimate.getKvBytes());
    }
    check(estimate.getActivationBytes() > 0, "no activations");
    check(estimate.getPrivateBytes() < estimate.getSteadyBytes(), "private " + estimate.getPrivateBytes());
    check(estimate.getSteadyBytes() <= estimate.getPeakBytes(), "steady " + estimate.getSteadyBytes());
    check(estimate.getCachedPrivateBytes() < estimate.getPrivateBytes(), "the cache saves nothing");
    check(estimate.getCachedSteadyBytes() <= estimate.getCachedPeakBytes(), "cached");
    check(estimate.getCachedPeakBytes() <= estimate.getStoringPeakBytes(), "storing");
    SessionOptions small = SessionOptions.builder().contextTokens(256).kvFormat(KvFormat.INT8).build();
    check(Model.estimate(file, small).getKvBytes() < estimate.getKvBytes(), "int8 saves nothing");
  }

  private void estimateDescriptor() throws Exception {
    File file = fixtures.modelFile(NAME);
    SessionOptions options = SessionOptions.builder().contextTokens(128).build();
    long expected = Model.estimate(file, options).getPeakBytes();
    try (ParcelFileDescriptor in = new ParcelFileDescriptor(file)) {
      equal(Model.estimateDescriptor(in.getFd(), 0, 0, options).getPeakBytes(), expected);
      equal(Model.estimateDescriptor(in.getFd(), 0, file.length(), options).getPeakBytes(), expected);
      fails(Status.INVALID_ARGUMENT, () -> Model.estimateDescriptor(in.getFd(), 0, file.length() + 1, options));
    }
    throwsA(IllegalArgumentException.class, () -> Model.estimateDescriptor(-1, 0, 0, options));
  }

  private void estimateRefused() throws Exception {
    File file = fixtures.scratch("bad-estimate.graft");
    fails(Status.NOT_FOUND, () -> Model.estimate(fixtures.scratch("nowhere.graft"), SessionOptions.DEFAULT));
    Files.write(file.toPath(), new byte[4096]);
    String message = fails(Status.CORRUPT, () -> Model.estimate(file, SessionOptions.DEFAULT)).getMessage();
    check(message.contains("bad-estimate.graft"), message);
    SessionOptions impossible = SessionOptions.builder().contextTokens(Integer.MAX_VALUE).build();
    fails(Status.INVALID_ARGUMENT, () -> Model.estimate(fixtures.modelFile(NAME), impossible));
    throwsA(NullPointerException.class, () -> Model.estimate(null, SessionOptions.DEFAULT));
    throwsA(NullPointerException.class, () -> Model.estimate(file, null));
  }

  private void limits() {
    File file = fixtures.modelFile(NAME);
    MemoryEstimate estimate = Model.estimate(file, SessionOptions.builder().contextTokens(256).build());
    long enough = estimate.getPackedBytes() + estimate.getKvBytes() + estimate.getActivationBytes();
    fails(Status.OUT_OF_MEMORY, () -> Model.open(file, ModelOptions.builder().memoryLimitBytes(1000).build()));
    try (Model model = Model.open(file, ModelOptions.builder().memoryLimitBytes(enough).build())) {
      String message =
          fails(Status.OUT_OF_MEMORY, () -> model.newSession(SessionOptions.builder().contextTokens(4096).build())).getMessage();
      check(message.contains("a context of") && message.contains("fits"), message);
      try (Session session = model.newSession(SessionOptions.builder().contextTokens(256).build())) {
        equal(session.generate("Once", Fixtures.greedy(20)).getIds().length, 20);
      }
      SessionOptions less = SessionOptions.builder().contextTokens(256).memoryLimitBytes(enough - 1).build();
      fails(Status.OUT_OF_MEMORY, () -> model.newSession(less));
    }
    throwsA(IllegalArgumentException.class, () -> SessionOptions.builder().memoryLimitBytes(-1));
    throwsA(IllegalArgumentException.class, () -> ModelOptions.builder().memoryLimitBytes(-1));
  }

  private void forwardLimit() {
    File file = fixtures.modelFile(NAME);
    SessionOptions options = SessionOptions.builder().contextTokens(256).build();
    MemoryEstimate estimate = Model.estimate(file, options);
    long limit = estimate.getPackedBytes() + estimate.getKvBytes() + estimate.getActivationBytes() + (64 << 10);
    try (Model model = Model.open(file, ModelOptions.builder().memoryLimitBytes(limit).build());
        Session session = model.newSession(options)) {
      Tensor ids = Tensor.ofInts("input_ids", new int[256], 256); // logits of all: 2 MB
      fails(Status.OUT_OF_MEMORY, () -> session.forward(ids));
      equal(session.generate("Once", Fixtures.greedy(5)).getIds().length, 5);
    }
  }

  private void trim() {
    try (Model model = fixtures.open(NAME);
        Session whole = model.newSession();
        Session trimmed = model.newSession()) {
      for (int i = 0; i < 4; ++i) {
        int[] expected = whole.generate("The man", Fixtures.greedy(12)).getIds();
        equal(trimmed.generate("The man", Fixtures.greedy(12)).getIds(), expected);
        trimmed.trim();
        model.trim();
        equal(trimmed.getPosition(), whole.getPosition());
      }
      whole.rewind(7);
      trimmed.rewind(7);
      trimmed.trim();
      equal(trimmed.append(new int[] {4, 5}), whole.append(new int[] {4, 5}));
    }
  }

  private void trimWhileGenerating() throws Exception {
    try (Model model = fixtures.open(NAME);
        Session session = model.newSession()) {
      int[] expected = session.generate("The man", Fixtures.greedy(30)).getIds();
      session.reset();
      List<Integer> got = new ArrayList<>();
      GenerateOptions options = Fixtures.greedy(30);
      session.generate(
          "The man",
          options,
          (id, text) -> {
            session.trim(); // on the generating thread: it would wait for itself
            Thread other = new Thread(session::trim);
            other.start();
            try {
              other.join();
            } catch (InterruptedException e) {
              return false;
            }
            if (id >= 0) got.add(id);
            return true;
          });
      equal(got.stream().mapToInt(Integer::intValue).toArray(), expected);
      session.reset();
      equal(session.generate("The man", options).getIds(), expected);
    }
  }

  private void trimClosed() {
    Model model = fixtures.open(NAME);
    Session session = model.newSession();
    session.close();
    session.trim();
    model.close();
    throwsA(IllegalStateException.class, model::trim);
  }
}
