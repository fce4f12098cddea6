// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;
import static dev.graft.test.Suite.throwsA;

import dev.graft.GenerateOptions;
import dev.graft.GenerateResult;
import dev.graft.GraftException.Status;
import dev.graft.KvFormat;
import dev.graft.Model;
import dev.graft.Session;
import dev.graft.SessionOptions;
import dev.graft.StopReason;
import dev.graft.TokenLogprobs;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Tokens in, tokens out: against PyTorch and llama2.c, and by the options. */
final class GenerateTest {
  private final Fixtures fixtures;

  GenerateTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("the base's greedy tokens are PyTorch's", () -> tales("base"));
    suite.test("the adapted model's greedy tokens are PyTorch's", () -> tales("holmes"));
    suite.test("the small model's greedy tokens are those that llama2.c publishes", this::stories);
    suite.test("what is streamed is what is returned", this::streaming);
    suite.test("a prompt of ids and one of text give the same", this::idsOrText);
    suite.test("each way to stop is told", this::stopReasons);
    suite.test("a listener's false ends the generation", this::listenerStops);
    suite.test("an exception of the listener comes out, and the session goes on working", this::listenerThrows);
    suite.test("a seed repeats what it gave", this::seeds);
    suite.test("answers have the form that was asked for", this::answersInAForm);
    suite.test("how likely tokens were, and what makes them less so", this::likely);
    suite.test("a whole prompt reuses the tokens held", this::wholePrompt);
    suite.test("appending gives logits, whose largest is the greedy token", this::append);
    suite.test("rewinding and keeping a prefix move the position", this::positions);
    suite.test("a saved session goes on in another", this::saved);
    suite.test("a session says what it is made of", this::sessionInfo);
    suite.test("a prompt beyond the context is OUT_OF_RANGE and appends nothing", this::contextFull);
    suite.test("wrong options are refused", this::wrongOptions);
  }

  private void tales(String variant) throws Exception {
    try (Model model = fixtures.open("tales-" + variant + "-f32");
        Session session = model.newSession()) {
      List<Object> prompts = fixtures.talesPrompts(variant);
      equal(prompts.size(), 4);
      for (Object each : prompts) {
        Map<String, Object> prompt = Json.object(each);
        String text = (String) prompt.get("text");
        equal(model.tokenize(text, true), Json.ints(prompt.get("ids")));
        session.reset();
        GenerateResult result = session.generate(text, Fixtures.greedy(64));
        equal(result.getIds(), Json.ints(prompt.get("greedy_ids")));
        equal(result.getGeneratedTokens(), 64);
        equal(result.getPromptTokens(), Json.ints(prompt.get("ids")).length);
        equal(result.getStopReason(), StopReason.MAX_TOKENS);
        check(result.getDecodeNanos() > 0 && result.getPrefillNanos() > 0, "no time passed");
      }
    }
  }

  private void stories() throws Exception {
    Map<String, Object> golden = Json.object(fixtures.json("stories260k/golden_greedy.json"));
    int[] all = Json.ints(golden.get("ids"));
    int[] prompt = Json.ints(golden.get("prompt_ids"));
    try (Model model = fixtures.open("stories260k-f32");
        Session session = model.newSession()) {
      int[] ids = session.generate(prompt, Fixtures.greedy(all.length - prompt.length), null).getIds();
      equal(Fixtures.join(prompt, ids), all);
    }
  }

  private void streaming() {
    try (Model model = fixtures.open("tales-holmes-int4");
        Session session = model.newSession()) {
      StringBuilder text = new StringBuilder();
      List<Integer> ids = new ArrayList<>();
      Thread caller = Thread.currentThread();
      GenerateResult result =
          session.generate(
              "The man opened the door and",
              Fixtures.greedy(100),
              (id, piece) -> {
                check(Thread.currentThread() == caller, "another thread");
                text.append(piece);
                if (id >= 0) ids.add(id);
                return true;
              });
      equal(text.toString(), result.getText());
      equal(ids.stream().mapToInt(Integer::intValue).toArray(), result.getIds());
      equal(ids.size(), 100);
      check(result.getText().startsWith(" "), "the first word keeps its space: " + result);
      check(result.toString().equals(result.getText()), "toString");
    }
  }

  private void idsOrText() {
    try (Model model = fixtures.open("tales-base-int8");
        Session one = model.newSession();
        Session two = model.newSession()) {
      String prompt = "Once upon a time";
      equal(
          one.generate(prompt, Fixtures.greedy(20)).getIds(),
          two.generate(model.tokenize(prompt, true), Fixtures.greedy(20), null).getIds());
    }
  }

  private void stopReasons() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(SessionOptions.builder().contextTokens(40).build())) {
      String prompt = "Once upon a time there was a king who had";
      GenerateResult all = session.generate(prompt, Fixtures.greedy(1000));
      equal(all.getStopReason(), StopReason.CONTEXT_FULL);
      equal(session.getPosition(), 40);
      String word = all.getText().substring(10, 16);
      session.reset();
      GenerateResult stopped =
          session.generate(prompt, GenerateOptions.builder().maxTokens(1000).ignoreEnd(true).stop("\u2603", word).build());
      equal(stopped.getStopReason(), StopReason.STOP_STRING);
      equal(stopped.getText(), all.getText().substring(0, all.getText().indexOf(word)));
    }
  }

  private void likely() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      GenerateOptions plain = GenerateOptions.builder().maxTokens(4).wholePrompt(true).build();
      GenerateResult result = session.generate("The king", plain);
      equal(result.getLogprobs().length, 0);
      GenerateOptions asked =
          GenerateOptions.builder().maxTokens(4).wholePrompt(true).logprobs(2).build();
      GenerateResult told = session.generate("The king", asked);
      check(Arrays.equals(told.getIds(), result.getIds()), "other tokens");
      equal(told.getLogprobs().length, 4);
      TokenLogprobs first = told.getLogprobs()[0];
      equal(first.getId(), told.getIds()[0]);
      equal(first.getLikeliestIds()[0], first.getId());
      check(first.getLikeliestLogprobs()[0] == first.getLogprob(), "the first is not the likeliest");
      check(first.getLikeliestLogprobs()[1] < first.getLogprob() && first.getLogprob() < 0, "no order");
      GenerateOptions without =
          GenerateOptions.builder()
              .maxTokens(4)
              .wholePrompt(true)
              .bias(first.getId(), Float.NEGATIVE_INFINITY)
              .presencePenalty(1)
              .frequencyPenalty(1)
              .build();
      equal(session.generate("The king", without).getIds()[0], first.getLikeliestIds()[1]);
      fails(
          Status.INVALID_ARGUMENT,
          () -> session.generate("a", GenerateOptions.builder().bias(-1, 1).build()));
    }
  }

  private void answersInAForm() {
    try (Model model = fixtures.open("tales-base-int8");
        Session session = model.newSession()) {
      GenerateResult choice = session.generate("Once", GenerateOptions.builder().choices(" upon a time", " there").build());
      check(choice.getText().equals(" upon a time") || choice.getText().equals(" there"), choice.getText());
      equal(choice.getStopReason(), StopReason.COMPLETE);
      session.reset();
      String schema = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9}},"
          + "\"required\":[\"n\"],\"additionalProperties\":false}";
      GenerateOptions json = GenerateOptions.builder().jsonSchema(schema).jsonInOrder(true).maxTokens(200).build();
      String text = session.generate("Once", json).getText();
      check(text.matches("\\{\\s*\"n\":\\s*[0-9]\\s*\\}"), text);
      session.reset();
      equal(session.generate("Once", GenerateOptions.builder().regex("[a-c]{3}").build()).getText().length(), 3);
      session.reset();
      // Guesses change nothing, wherever they come from.
      try (Session draft = model.newSession()) {
        for (GenerateOptions.Builder guessing : List.of(GenerateOptions.builder().speculate(true), GenerateOptions.builder().draft(draft))) {
          session.reset();
          String plain = session.generate("Once", GenerateOptions.builder().maxTokens(40).build()).getText();
          session.reset();
          GenerateResult guessed = session.generate("Once", guessing.maxTokens(40).build());
          check(guessed.getText().equals(plain) && guessed.getAcceptedTokens() <= guessed.getDraftedTokens(), "guesses changed the text");
        }
        GenerateOptions itself = GenerateOptions.builder().draft(session).build();
        try {
          session.generate("Once", itself);
          check(false, "a session drafts for itself");
        } catch (IllegalArgumentException expected) {
          // as it should be
        }
      }
      String after = session.generate("Once", GenerateOptions.builder().grammar("root ::= \"xyz\"").constraintTrigger(" ").build()).getText();
      check(after.endsWith(" xyz"), after);
      fails(Status.UNSUPPORTED, () -> session.generate("Once", GenerateOptions.builder().jsonSchema("{\"uniqueItems\": true}").build()));
    }
  }

  private void listenerStops() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      int[] count = {0};
      GenerateResult result = session.generate("Once", Fixtures.greedy(50), (id, text) -> ++count[0] < 5);
      equal(result.getStopReason(), StopReason.LISTENER);
      equal(count[0], 5);
      equal(result.getIds().length, 5);
    }
  }

  private void listenerThrows() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      int[] expected = session.generate("Once", Fixtures.greedy(8)).getIds();
      for (int i = 0; i < 3; ++i) {
        session.reset();
        int[] count = {0};
        RuntimeException thrown = new UnsupportedOperationException("from the listener");
        Throwable caught =
            throwsA(
                UnsupportedOperationException.class,
                () ->
                    session.generate(
                        "Once",
                        Fixtures.greedy(50),
                        (id, text) -> {
                          if (++count[0] == 3) throw thrown;
                          return true;
                        }));
        check(caught == thrown, "another exception");
        equal(count[0], 3);
      }
      session.reset();
      equal(session.generate("Once", Fixtures.greedy(8)).getIds(), expected);
    }
  }

  private void seeds() {
    try (Model model = fixtures.open("tales-holmes-int4");
        Session session = model.newSession()) {
      List<String> texts = new ArrayList<>();
      for (long seed : new long[] {7, 7, -1}) {
        session.reset();
        GenerateOptions options =
            GenerateOptions.builder().maxTokens(40).temperature(0.9f).topK(40).topP(0.95f).minP(0.01f).repeatPenalty(1.1f)
                .repeatWindow(32).seed(seed).build();
        texts.add(session.generate("The man", options).getText());
      }
      equal(texts.get(1), texts.get(0));
      check(!texts.get(2).equals(texts.get(0)), "the seed does nothing");
    }
  }

  private void wholePrompt() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      String prompt = "Once upon a time there was a king";
      GenerateOptions options = GenerateOptions.builder().maxTokens(8).ignoreEnd(true).wholePrompt(true).build();
      GenerateResult first = session.generate(prompt, options);
      equal(first.getReusedTokens(), 0);
      GenerateResult again = session.generate(prompt, options);
      equal(again.getIds(), first.getIds());
      equal(again.getReusedTokens(), first.getPromptTokens() - 1);
    }
  }

  private void append() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      int[] ids = model.tokenize("Once upon a", true);
      float[] logits = session.append(ids);
      equal(logits.length, 2048);
      int best = 0;
      for (int i = 1; i < logits.length; ++i) if (logits[i] > logits[best]) best = i;
      session.reset();
      equal(session.generate(ids, Fixtures.greedy(1), null).getIds(), new int[] {best});
      fails(Status.OUT_OF_RANGE, () -> session.append(new int[] {2048}));
    }
  }

  private void positions() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      int[] ids = model.tokenize("Once upon a time there was", true);
      session.append(ids);
      equal(session.getPosition(), ids.length);
      session.rewind(3);
      equal(session.getPosition(), 3);
      fails(Status.OUT_OF_RANGE, () -> session.rewind(4));
      equal(session.keepPrefix(new int[] {ids[0], ids[1], 5}), 2);
      equal(session.getPosition(), 2);
      throwsA(IllegalArgumentException.class, () -> session.rewind(-1));
    }
  }

  private void saved() {
    File file = fixtures.scratch("saved \u00e9.session");
    try (Model model = fixtures.open("tales-base-f32");
        Session one = model.newSession();
        Session two = model.newSession()) {
      one.append(model.tokenize("Once upon a time there", true));
      one.save(file);
      two.restore(file);
      equal(two.getPosition(), one.getPosition());
      int[] next = model.tokenize(" was", false);
      equal(two.generate(next, Fixtures.greedy(10), null).getIds(), one.generate(next, Fixtures.greedy(10), null).getIds());
      fails(Status.NOT_FOUND, () -> two.restore(fixtures.scratch("none.session")));
      try (Model other = fixtures.open("tales-holmes-f32");
          Session three = other.newSession()) {
        fails(Status.MISMATCH, () -> three.restore(file));
      }
    }
  }

  private void sessionInfo() {
    SessionOptions options = SessionOptions.builder().threads(2).contextTokens(100).prefillChunk(16).kvFormat(KvFormat.INT8).build();
    try (Model model = fixtures.open("tales-base-int4");
        Session session = model.newSession(options)) {
      equal(session.getInfo().getThreads(), 2);
      equal(session.getInfo().getContextTokens(), 100);
      equal(session.getInfo().getKvFormat(), KvFormat.INT8);
      check(session.getInfo().getWeightBytes() > 1_000_000, "weights");
      check(session.getInfo().getCacheBytesPerToken() > 0, "cache");
      check(session.getModel() == model, "its model");
    }
  }

  private void contextFull() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession(SessionOptions.builder().contextTokens(8).build())) {
      int[] prompt = new int[9];
      Arrays.fill(prompt, 100);
      fails(Status.OUT_OF_RANGE, () -> session.generate(prompt, GenerateOptions.DEFAULT, null));
      equal(session.getPosition(), 0);
    }
  }

  private void wrongOptions() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      fails(Status.INVALID_ARGUMENT, () -> session.generate("a", GenerateOptions.builder().temperature(-1).build()));
      fails(Status.INVALID_ARGUMENT, () -> session.generate("a", GenerateOptions.builder().topP(Float.NaN).build()));
      fails(Status.INVALID_ARGUMENT, () -> session.generate(new int[0], GenerateOptions.DEFAULT, null));
      throwsA(IllegalArgumentException.class, () -> GenerateOptions.builder().maxTokens(-1));
      throwsA(IllegalArgumentException.class, () -> GenerateOptions.builder().stop("a\0"));
      throwsA(NullPointerException.class, () -> GenerateOptions.builder().stop("a", null));
      throwsA(NullPointerException.class, () -> session.generate((String) null));
      throwsA(NullPointerException.class, () -> session.generate("a", null));
      equal(session.getPosition(), 0);
    }
  }
}
