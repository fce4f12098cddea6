// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import static dev.graft.test.Suite.check;
import static dev.graft.test.Suite.equal;
import static dev.graft.test.Suite.fails;

import dev.graft.GenerateOptions;
import dev.graft.GenerateResult;
import dev.graft.GraftException.Status;
import dev.graft.Model;
import dev.graft.Session;
import java.util.Arrays;

/** Text as Java has it (UTF-16, half characters) against text as native code has it (UTF-8). */
final class TextTest {
  private static final String GRIN = "\uD83D\uDE00";

  private final Fixtures fixtures;

  TextTest(Fixtures fixtures) {
    this.fixtures = fixtures;
  }

  void run(Suite suite) {
    suite.test("text survives tokens and back, also outside of the basic plane", this::roundTrip);
    suite.test("half a surrogate pair is a question mark", this::halfPair);
    suite.test("ids cut inside a character give U+FFFD, never half a character", this::cutInside);
    suite.test("a streamed piece is whole characters, whatever the tokens", this::streamedPieces);
    suite.test("a large text is tokenized", this::large);
    suite.test("an unknown id is OUT_OF_RANGE", this::unknownId);
    suite.test("a model without a tokenizer says so", this::noTokenizer);
  }

  private void roundTrip() {
    String[] texts = {
      "", "Once upon a time", "caf\u00e9 \u00e0 la cr\u00e8me", "\u4f60\u597d", GRIN + "x" + GRIN, "zero\0inside", "\uFFFF \uD800\uDC00 \uDBFF\uDFFF"
    };
    try (Model model = fixtures.open("tales-base-f32")) { // byte-level: every text has its tokens
      for (String text : texts) equal(model.detokenize(model.tokenize(text, false), false), text);
    }
  }

  private void halfPair() {
    try (Model model = fixtures.open("tales-base-f32")) {
      equal(model.tokenize("a" + GRIN.charAt(0) + "b", false), model.tokenize("a?b", false));
      equal(model.tokenize("" + GRIN.charAt(1), false), model.tokenize("?", false));
    }
  }

  private void cutInside() {
    try (Model model = fixtures.open("tales-base-f32")) {
      int[] ids = model.tokenize("a" + GRIN, false);
      check(ids.length >= 3, "the character is one token: choose another");
      for (int size = 2; size < ids.length; ++size) {
        String text = model.detokenize(Arrays.copyOf(ids, size), false);
        check(text.startsWith("a") && text.indexOf('\uFFFD') > 0, text);
        checkWhole(text);
      }
    }
  }

  private void streamedPieces() {
    try (Model model = fixtures.open("tales-base-f32");
        Session session = model.newSession()) {
      // So hot that all tokens are alike, bytes of all kinds among them; after half a character.
      int[] ids = model.tokenize(GRIN, false);
      GenerateOptions hot = GenerateOptions.builder().temperature(1000).maxTokens(300).ignoreEnd(true).seed(3).build();
      StringBuilder all = new StringBuilder();
      boolean[] hasMarks = {false};
      GenerateResult result =
          session.generate(
              Arrays.copyOf(ids, ids.length - 1),
              hot,
              (id, text) -> {
                checkWhole(text);
                hasMarks[0] |= text.indexOf('\uFFFD') >= 0;
                all.append(text);
                return true;
              });
      equal(all.toString(), result.getText());
      equal(result.getIds().length, 300);
      check(hasMarks[0], "no piece had bytes of no character: the case tests nothing");
    }
  }

  private void large() {
    char[] text = new char[200_000];
    for (int i = 0; i < text.length; ++i) text[i] = "abc \u00e9\u4f60".charAt(i % 6);
    try (Model model = fixtures.open("tales-base-f32")) {
      String whole = new String(text);
      int[] ids = model.tokenize(whole, false);
      check(ids.length > 50_000, "only " + ids.length);
      equal(model.detokenize(ids, false), whole);
    }
  }

  private void unknownId() {
    try (Model model = fixtures.open("tales-base-f32")) {
      fails(Status.OUT_OF_RANGE, () -> model.detokenize(new int[] {5, 1 << 30}, false));
      fails(Status.OUT_OF_RANGE, () -> model.detokenize(new int[] {-1}, false));
    }
  }

  private void noTokenizer() {
    try (Model model = fixtures.open("lora_layer-f32")) {
      check(!model.getInfo().hasTokenizer(), "it has one");
      equal(model.getInfo().getVocabulary(), 0);
      Suite.throwsA(dev.graft.GraftException.class, () -> model.tokenize("a", false));
    }
  }

  private static void checkWhole(String text) {
    for (int i = 0; i < text.length(); ++i) {
      char c = text.charAt(i);
      boolean isPair = Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1));
      if (isPair) ++i;
      check(isPair || !Character.isSurrogate(c), "half a pair in " + text);
    }
  }
}
