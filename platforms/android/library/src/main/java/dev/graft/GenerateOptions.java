// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import androidx.annotation.Nullable;
import java.util.Arrays;

/**
 * How tokens are chosen and when generation ends. Immutable.
 *
 * <p>What changes logits applies in the order biases, repeatPenalty, presencePenalty and
 * frequencyPenalty, temperature, topK, topP, minP.
 */
public final class GenerateOptions {
  /** The likeliest token each time, at most 256 of them. */
  @NonNull public static final GenerateOptions DEFAULT = builder().build();

  final int maxTokens;
  final float temperature;
  final int topK;
  final float topP;
  final float minP;
  final float repeatPenalty;
  final int repeatWindow;
  final long seed;
  final byte[][] stop;
  final boolean ignoreEnd;
  final boolean wholePrompt;
  final int constraintKind; // as native code numbers them; 0: none
  final byte[][] constraint;
  final byte[][] trigger; // one or none
  final boolean inOrder;
  final boolean speculate;
  final Session draft; // null: none
  final byte[] tools; // null: none
  final byte[] replyFormat; // null: none is asked for
  final byte[] toolChoice; // null: the model's
  final int[] biasIds;
  final float[] biases;
  final float presencePenalty;
  final float frequencyPenalty;
  final int logprobs; // -1: not computed

  private GenerateOptions(Builder from) {
    maxTokens = from.maxTokens;
    temperature = from.temperature;
    topK = from.topK;
    topP = from.topP;
    minP = from.minP;
    repeatPenalty = from.repeatPenalty;
    repeatWindow = from.repeatWindow;
    seed = from.seed;
    stop = from.stop;
    ignoreEnd = from.ignoreEnd;
    wholePrompt = from.wholePrompt;
    constraintKind = from.constraintKind;
    constraint = from.constraint;
    trigger = from.trigger;
    inOrder = from.inOrder;
    speculate = from.speculate;
    draft = from.draft;
    tools = from.tools;
    replyFormat = from.replyFormat;
    toolChoice = from.toolChoice;
    biasIds = Arrays.copyOf(from.biasIds, from.biasCount);
    biases = Arrays.copyOf(from.biases, from.biasCount);
    presencePenalty = from.presencePenalty;
    frequencyPenalty = from.frequencyPenalty;
    logprobs = from.logprobs;
  }

  /** Generates with these. {@code tools}: which to use, these or others. */
  long[] generate(
      long session, long draft, int[] prompt, boolean isWhole, byte[] tools, TokenSink sink) {
    return Native.generate(
        session,
        prompt,
        maxTokens,
        temperature,
        topK,
        topP,
        minP,
        repeatPenalty,
        repeatWindow,
        seed,
        stop,
        ignoreEnd,
        isWhole,
        constraintKind,
        constraint,
        trigger,
        inOrder,
        draft,
        speculate,
        tools,
        replyFormat,
        toolChoice,
        biasIds,
        biases,
        presencePenalty,
        frequencyPenalty,
        logprobs,
        sink);
  }

  @NonNull
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options; what is not set, or 0, has its default. Ranges are checked by generate. */
  public static final class Builder {
    private int maxTokens;
    private float temperature;
    private int topK;
    private float topP;
    private float minP;
    private float repeatPenalty;
    private int repeatWindow;
    private long seed;
    private byte[][] stop = {};
    private boolean ignoreEnd;
    private boolean wholePrompt;
    private int constraintKind;
    private byte[][] constraint = {};
    private byte[][] trigger = {};
    private boolean inOrder;
    private boolean speculate;
    private Session draft;
    private byte[] tools;
    private byte[] replyFormat;
    private byte[] toolChoice;
    private int[] biasIds = new int[4];
    private float[] biases = new float[4];
    private int biasCount;
    private float presencePenalty;
    private float frequencyPenalty;
    private int logprobs = -1;

    private Builder() {}

    /** Default 256; never beyond the context. */
    @NonNull
    public Builder maxTokens(int tokens) {
      maxTokens = Check.notNegative(tokens, "maxTokens");
      return this;
    }

    /** 0, the default: the likeliest token. */
    @NonNull
    public Builder temperature(float temperature) {
      this.temperature = temperature;
      return this;
    }

    /** Only the likeliest {@code count} tokens; 0, the default: all. */
    @NonNull
    public Builder topK(int count) {
      topK = Check.notNegative(count, "topK");
      return this;
    }

    /** Only the likeliest tokens of this probability together; 0 or 1: all. */
    @NonNull
    public Builder topP(float probability) {
      topP = probability;
      return this;
    }

    /** Only tokens at least this share as likely as the likeliest; 0: all. */
    @NonNull
    public Builder minP(float share) {
      minP = share;
      return this;
    }

    /** More than 1 makes tokens seen lately less likely; 0 or 1: off. */
    @NonNull
    public Builder repeatPenalty(float penalty) {
      repeatPenalty = penalty;
      return this;
    }

    /** How many tokens back "lately" is. Default 64. */
    @NonNull
    public Builder repeatWindow(int tokens) {
      repeatWindow = Check.notNegative(tokens, "repeatWindow");
      return this;
    }

    /** The same seed gives the same tokens. */
    @NonNull
    public Builder seed(long seed) {
      this.seed = seed;
      return this;
    }

    /** Generation ends before the first of these that appears. */
    @NonNull
    public Builder stop(@NonNull String... strings) {
      byte[][] bytes = new byte[Check.notNull(strings, "strings").length][];
      for (int i = 0; i < strings.length; ++i) {
        bytes[i] = Check.withoutZero(strings[i], "a stop string");
      }
      stop = bytes;
      return this;
    }

    /** Whether to go on after the model's end-of-text tokens. */
    @NonNull
    public Builder ignoreEnd(boolean ignoreEnd) {
      this.ignoreEnd = ignoreEnd;
      return this;
    }

    /**
     * Whether the prompt is the whole text, not what comes after the tokens held: only what the
     * session does not hold of it is computed.
     */
    @NonNull
    public Builder wholePrompt(boolean wholePrompt) {
      this.wholePrompt = wholePrompt;
      return this;
    }

    /**
     * The text is JSON that this JSON Schema allows. Of jsonSchema, regex, grammar and choices the
     * last that is set counts.
     */
    @NonNull
    public Builder jsonSchema(@NonNull String schema) {
      return constrain(1, "a schema", schema);
    }

    /** The text is what this regular expression matches as a whole. */
    @NonNull
    public Builder regex(@NonNull String regex) {
      return constrain(2, "a regular expression", regex);
    }

    /** The text is what this grammar allows, which is GBNF as llama.cpp has it. */
    @NonNull
    public Builder grammar(@NonNull String grammar) {
      return constrain(3, "a grammar", grammar);
    }

    /** The text is one of these. */
    @NonNull
    public Builder choices(@NonNull String... choices) {
      return constrain(4, "a choice", choices);
    }

    /** What the text must be it must be from where this has come, such as the end of thinking. */
    @NonNull
    public Builder constraintTrigger(@NonNull String trigger) {
      this.trigger = new byte[][] {Check.withoutZero(trigger, "a trigger")};
      return this;
    }

    /** Whether properties stand in the order of the JSON Schema, rather than in any. */
    @NonNull
    public Builder jsonInOrder(boolean inOrder) {
      this.inOrder = inOrder;
      return this;
    }

    /**
     * Whether tokens are guessed by what followed the last ones earlier in the text, so that fewer
     * passes over the weights compute them. The answer stays the same; where guessing does not pay
     * it stops by itself.
     */
    @NonNull
    public Builder speculate(boolean speculate) {
      this.speculate = speculate;
      return this;
    }

    /**
     * Functions that the model may call, as {@link ChatOptions.Builder#tools} has them: calls in
     * the text are of them, with arguments that they take. The text has the marks that a {@link
     * ReplyReader} looks for.
     */
    @NonNull
    public Builder tools(@Nullable String json) {
      tools = json == null ? null : Check.withoutZero(json, "tools");
      return this;
    }

    /**
     * A session of a smaller model with the same tokens, which guesses likewise. A generation with
     * these options is a call on that session, too, and leaves it with tokens of this one. Null:
     * none.
     */
    @NonNull
    public Builder draft(@Nullable Session session) {
      draft = session;
      return this;
    }

    /**
     * How the model writes calls and thinking, by a name of docs/answers.md; "": as its template or
     * its tokens tell. The text has the marks of calls and thinking then, also without tools.
     */
    @NonNull
    public Builder replyFormat(@Nullable String name) {
      replyFormat = name == null ? null : Check.withoutZero(name, "replyFormat");
      return this;
    }

    /**
     * With tools: "required" makes the answer calls and nothing else, a function's name calls of
     * that one; null or "auto" leaves it to the model.
     */
    @NonNull
    public Builder toolChoice(@Nullable String choice) {
      toolChoice = choice == null ? null : Check.withoutZero(choice, "toolChoice");
      return this;
    }

    /** Adds to the logit of a token; {@code Float.NEGATIVE_INFINITY}: it never comes. */
    @NonNull
    public Builder bias(int id, float bias) {
      if (biasCount == biasIds.length) {
        biasIds = Arrays.copyOf(biasIds, 2 * biasCount);
        biases = Arrays.copyOf(biases, 2 * biasCount);
      }
      biasIds[biasCount] = id;
      biases[biasCount++] = bias;
      return this;
    }

    /** Taken off the logits of tokens that were generated before; -100 to 100. */
    @NonNull
    public Builder presencePenalty(float penalty) {
      presencePenalty = penalty;
      return this;
    }

    /** The same for each time that they were. */
    @NonNull
    public Builder frequencyPenalty(float penalty) {
      frequencyPenalty = penalty;
      return this;
    }

    /** Whether to tell how likely each token was, and the likeliest {@code count}; up to 1000. */
    @NonNull
    public Builder logprobs(int count) {
      logprobs = Check.notNegative(count, "logprobs");
      return this;
    }

    private Builder constrain(int kind, String what, String... texts) {
      byte[][] bytes = new byte[Check.notNull(texts, "texts").length][];
      for (int i = 0; i < texts.length; ++i) bytes[i] = Check.withoutZero(texts[i], what);
      constraintKind = kind;
      constraint = bytes;
      return this;
    }

    @NonNull
    public GenerateOptions build() {
      return new GenerateOptions(this);
    }
  }
}
