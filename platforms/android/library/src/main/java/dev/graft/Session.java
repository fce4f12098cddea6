// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import androidx.annotation.Nullable;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * The tokens of one conversation with a {@link Model}, and what was computed from them.
 *
 * <p>One call runs at a time: calls of other threads wait for their turn. {@link #cancel()} and
 * {@link #close()} do not wait for a turn and may come from any thread. Sessions are independent:
 * for two answers at once, make two.
 *
 * <p>It holds native memory and threads until {@link #close()}; nothing else frees them.
 */
public final class Session implements AutoCloseable {
  private final Model model;
  private final long modelHandle; // alive until the session gives it back
  private final SessionTurns turns;

  Session(Model model, long modelHandle, long handle) {
    this.model = model;
    this.modelHandle = modelHandle;
    turns = new SessionTurns(model, handle);
  }

  /** The model it was made of. */
  @NonNull
  public Model getModel() {
    return model;
  }

  /** What the session is made of. */
  @NonNull
  public SessionInfo getInfo() {
    long session = turns.enter();
    try {
      return new SessionInfo(Native.sessionNumbers(session));
    } finally {
      turns.leave();
    }
  }

  /** How many tokens it holds. */
  public int getPosition() {
    long session = turns.enter();
    try {
      return (int) Native.position(session);
    } finally {
      turns.leave();
    }
  }

  // ---- Text

  /** Generates with {@link GenerateOptions#DEFAULT}, without streaming. */
  @NonNull
  public GenerateResult generate(@NonNull String prompt) {
    return generate(prompt, GenerateOptions.DEFAULT, null);
  }

  /** Generates without streaming. */
  @NonNull
  public GenerateResult generate(@NonNull String prompt, @NonNull GenerateOptions options) {
    return generate(prompt, options, null);
  }

  /**
   * Appends the prompt to what the session holds and generates. The tokens that the model expects
   * before a text are added if the session is empty, or with {@link
   * GenerateOptions.Builder#wholePrompt}.
   *
   * <p>It returns when the last token is there: not for the main thread.
   *
   * @param listener receives each token, on this thread; null: nobody does
   * @throws GraftException CANCELLED; OUT_OF_RANGE if the prompt does not fit into the context
   *     (nothing was appended); INVALID_ARGUMENT for a sampling option outside of its range
   */
  @NonNull
  public GenerateResult generate(
      @NonNull String prompt, @NonNull GenerateOptions options, @Nullable TokenListener listener) {
    byte[] text = Check.notNull(prompt, "prompt").getBytes(StandardCharsets.UTF_8);
    Check.notNull(options, "options");
    TokenSink sink = new TokenSink(this, listener);
    long session = turns.enter(sink);
    try {
      boolean isWhole = options.wholePrompt || Native.position(session) == 0;
      return generate(
          session,
          Native.tokenize(modelHandle, text, isWhole),
          options,
          options.wholePrompt,
          options.tools,
          sink);
    } finally {
      turns.leave();
    }
  }

  /**
   * The same for a prompt of token ids. The last token handed out is not yet held by the session:
   * to go on from it, make it the first of the next prompt.
   */
  @NonNull
  public GenerateResult generate(
      @NonNull int[] prompt, @NonNull GenerateOptions options, @Nullable TokenListener listener) {
    Check.notNull(prompt, "prompt");
    Check.notNull(options, "options");
    TokenSink sink = new TokenSink(this, listener);
    long session = turns.enter(sink);
    try {
      return generate(session, prompt, options, options.wholePrompt, options.tools, sink);
    } finally {
      turns.leave();
    }
  }

  private GenerateResult generate(
      long session,
      int[] prompt,
      GenerateOptions options,
      boolean isWhole,
      byte[] tools,
      TokenSink sink) {
    Session draft = options.draft;
    if (draft == this) throw new IllegalArgumentException("draft is the session itself");
    long draftSession = draft == null ? 0 : draft.turns.enter();
    long[] numbers;
    try {
      numbers = options.generate(session, draftSession, prompt, isWhole, tools, sink);
    } finally {
      if (draft != null) draft.turns.leave();
    }
    GenerateResult result =
        new GenerateResult(sink.text(), sink.ids(), sink.logprobs(), numbers);
    if (turns.isCancelled() && result.getStopReason() == StopReason.LISTENER) {
      throw GraftException.cancelled();
    }
    return result;
  }

  /** Answers a conversation with {@link ChatOptions#DEFAULT}. */
  @NonNull
  public GenerateResult chat(
      @NonNull List<ChatMessage> messages,
      @NonNull GenerateOptions options,
      @Nullable TokenListener listener) {
    return chat(messages, ChatOptions.DEFAULT, options, listener);
  }

  /**
   * Answers a conversation: all its messages so far, by the model's chat template. Of what the
   * session holds already nothing is computed again. The answer is not added to the messages: that
   * is the caller's. With {@link ChatOptions.Builder#tools} a {@link ReplyReader} finds the calls
   * in it.
   *
   * @param listener receives each token, on this thread; null: nobody does
   * @throws GraftException as {@link Model#renderChat} and {@link #generate}
   */
  @NonNull
  public GenerateResult chat(
      @NonNull List<ChatMessage> messages,
      @NonNull ChatOptions chatOptions,
      @NonNull GenerateOptions options,
      @Nullable TokenListener listener) {
    Check.notNull(options, "options");
    TokenSink sink = new TokenSink(this, listener);
    long session = turns.enter(sink);
    try {
      byte[] text = ChatText.render(modelHandle, messages, chatOptions);
      byte[] tools = options.tools != null ? options.tools : chatOptions.tools;
      return generate(
          session, Native.tokenize(modelHandle, text, false), options, true, tools, sink);
    } finally {
      turns.leave();
    }
  }

  /**
   * Appends tokens without generating.
   *
   * @return the logits of the last token, one for each of the vocabulary
   * @throws GraftException OUT_OF_RANGE (nothing was appended), CANCELLED
   */
  @NonNull
  public float[] append(@NonNull int[] ids) {
    Check.notNull(ids, "ids");
    long session = turns.enter();
    try {
      return Native.append(session, ids, model.vocabulary());
    } finally {
      turns.leave();
    }
  }

  /** Forgets all tokens. */
  public void reset() {
    rewind(0);
  }

  /**
   * Forgets tokens from position {@code tokens} on.
   *
   * @throws GraftException OUT_OF_RANGE if there are fewer
   */
  public void rewind(int tokens) {
    Check.notNegative(tokens, "tokens");
    long session = turns.enter();
    try {
      Native.rewind(session, tokens);
    } finally {
      turns.leave();
    }
  }

  /**
   * Rewinds to the longest beginning of {@code ids} that the session holds, but less than all of
   * them.
   *
   * @return its length
   */
  public int keepPrefix(@NonNull int[] ids) {
    Check.notNull(ids, "ids");
    long session = turns.enter();
    try {
      return (int) Native.keepPrefix(session, ids);
    } finally {
      turns.leave();
    }
  }

  /**
   * Writes the tokens held, and what was computed from them, to a file that only this app can read.
   *
   * @throws GraftException NOT_FOUND (no such folder), IO, UNSUPPORTED (no model of text)
   */
  public void save(@NonNull File file) {
    byte[] path = Check.withoutZero(Check.notNull(file, "file").getPath(), "file");
    long session = turns.enter();
    try {
      Native.save(session, path);
    } finally {
      turns.leave();
    }
  }

  /**
   * Takes the tokens of a saved session in place of those held. It must be of the same model.
   *
   * @throws GraftException NOT_FOUND, IO, CORRUPT, UNSUPPORTED_VERSION, MISMATCH, OUT_OF_RANGE
   */
  public void restore(@NonNull File file) {
    byte[] path = Check.withoutZero(Check.notNull(file, "file").getPath(), "file");
    long session = turns.enter();
    try {
      Native.restore(session, path);
    } finally {
      turns.leave();
    }
  }

  // ---- Images

  /**
   * Scores of an image, one for each of {@link Model#getLabels}: probabilities that add up to 1
   * where one label holds. The image is resized and normalized as the model's file says.
   *
   * @throws GraftException UNSUPPORTED (the model does not classify, or takes no images),
   *     INVALID_ARGUMENT (more than 16384 pixels a side), CANCELLED
   */
  @NonNull
  public float[] classify(@NonNull Pixels image) {
    return compute(image, false);
  }

  /** The vector of an image, likewise. */
  @NonNull
  public float[] embed(@NonNull Pixels image) {
    return compute(image, true);
  }

  private float[] compute(Pixels image, boolean isEmbedding) {
    Check.notNull(image, "image");
    long session = turns.enter();
    try {
      return image.compute(session, isEmbedding);
    } finally {
      turns.leave();
    }
  }

  /** Says which pictures the text is about, in its order; those set before are not computed again. */
  public void setPictures(@NonNull List<Pixels> pictures) {
    Check.notNull(pictures, "pictures");
    long session = turns.enter();
    try {
      Pixels.setIn(session, pictures);
    } finally {
      turns.leave();
    }
  }

  // ---- Tensors

  /**
   * Computes the model's graph on named inputs. For a token model the only input is token ids,
   * computed from position 0, with outputs for every position.
   *
   * @return copies, in the graph's order
   * @throws GraftException INVALID_ARGUMENT (missing or unknown input, wrong type or shape),
   *     OUT_OF_RANGE, CANCELLED
   */
  @NonNull
  public List<Tensor> forward(@NonNull Tensor... inputs) {
    Check.notNull(inputs, "inputs");
    byte[][] names = new byte[inputs.length][];
    int[] types = new int[inputs.length];
    long[][] shapes = new long[inputs.length][];
    Object[] data = new Object[inputs.length];
    for (int i = 0; i < inputs.length; ++i) {
      Tensor input = Check.notNull(inputs[i], "an input");
      names[i] = Check.withoutZero(input.getName(), "an input's name");
      types[i] = input.typeCode();
      shapes[i] = input.shape();
      data[i] = input.data();
    }
    long session = turns.enter();
    Object[] parts;
    try {
      parts = Native.forward(session, names, types, shapes, data);
    } finally {
      turns.leave();
    }
    List<Tensor> outputs = new ArrayList<>();
    for (int i = 0; i < parts.length; i += Tensor.NATIVE_PARTS) {
      outputs.add(Tensor.ofNative(parts, i));
    }
    return Collections.unmodifiableList(outputs);
  }

  // ---- Memory

  /**
   * Gives back memory that the next call can make again: activations, and room for tokens that are
   * not held. Tokens stay, and so does what the next call gives. If a call runs, it is done when the
   * call ends; this never waits, and may come from any thread: for {@code onTrimMemory}. Without
   * effect once the session is closed.
   */
  public void trim() {
    turns.trim();
  }

  // ---- Stopping

  /**
   * Asks the call that runs to stop soon; it throws {@link GraftException} with CANCELLED. Any
   * thread, also the listener's. Without effect if nothing runs.
   */
  public void cancel() {
    turns.cancel();
  }

  /**
   * The same, but only for the generation that {@code listener} receives: without effect once it
   * has ended, whatever runs by then.
   */
  public void cancel(@NonNull TokenListener listener) {
    turns.cancel(Check.notNull(listener, "listener"));
  }

  /** Whether {@link #close()} was called. */
  public boolean isClosed() {
    return turns.isClosed();
  }

  /**
   * Frees the session. A call that runs in another thread is cancelled and waited for; calls that
   * wait for their turn throw {@link IllegalStateException}. From inside a listener it asks the
   * generation to stop, which then frees. Any number of times, from any thread.
   */
  @Override
  public void close() {
    turns.close();
  }

  boolean isCancelled() {
    return turns.isCancelled();
  }
}
