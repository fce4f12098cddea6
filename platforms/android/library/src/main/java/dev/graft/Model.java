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
 * An opened .graft file: its weights and its tokenizer.
 *
 * <p>Safe for any number of threads, and what it is changes by {@link #swap} only. It holds native memory until {@link #close()};
 * nothing else frees it. Sessions keep what they need of it, so model and sessions may be closed in
 * either order.
 */
public final class Model implements AutoCloseable {
  private final Object lock = new Object();
  private long handle; // 0: freed
  private int users; // calls inside native code, and sessions
  private boolean closed;
  private final SwapTurns swaps = new SwapTurns();
  private volatile int vocabulary; // once there is a session

  private Model(long handle) {
    this.handle = handle;
  }

  /** The version of the native library, "0.1.0". */
  @NonNull
  public static String libraryVersion() {
    return Native.version();
  }

  /** Opens a file with {@link ModelOptions#DEFAULT}. */
  @NonNull
  public static Model open(@NonNull File file) {
    return open(file, ModelOptions.DEFAULT);
  }

  /**
   * Maps and verifies a file, and packs its weights for this CPU. It takes from milliseconds to
   * seconds: not for the main thread.
   *
   * @throws GraftException NOT_FOUND, IO, CORRUPT, UNSUPPORTED_VERSION, UNSUPPORTED, OUT_OF_MEMORY,
   *     MISMATCH for a pack of another base, or a file that no trusted key has signed
   */
  @NonNull
  public static Model open(@NonNull File file, @NonNull ModelOptions options) {
    byte[] path = Check.withoutZero(Check.notNull(file, "file").getPath(), "file");
    Check.notNull(options, "options");
    return new Model(
        Native.openPath(
            path,
            options.threads, options.verifyContents,
            options.cacheFolder, options.cacheLimitBytes, options.memoryLimitBytes,
            options.packPath, options.packDescriptor, options.packOffset, options.packLength,
            options.packSignature, options.trustedKeys, options.signature));
  }

  /**
   * The same for a part of an open file, such as an asset that lies uncompressed in an APK: its
   * bytes are mapped where they are if the offset is a multiple of 64, and read otherwise.
   *
   * @param descriptor stays the caller's, who may close it after this call
   * @param offset in bytes
   * @param length in bytes; 0: up to the file's end
   */
  @NonNull
  public static Model openDescriptor(
      int descriptor, long offset, long length, @NonNull ModelOptions options) {
    Check.notNegative(descriptor, "descriptor");
    Check.notNegative(offset, "offset");
    Check.notNegative(length, "length");
    Check.notNull(options, "options");
    return new Model(
        Native.openDescriptor(
            descriptor,
            offset,
            length,
            options.threads, options.verifyContents,
            options.cacheFolder, options.cacheLimitBytes, options.memoryLimitBytes,
            options.packPath, options.packDescriptor, options.packOffset, options.packLength,
            options.packSignature, options.trustedKeys, options.signature));
  }

  /**
   * What opening a file, and a session with these options, will take of memory: told from the
   * file's first part and this CPU, without loading it.
   *
   * @throws GraftException as {@link #open(File, ModelOptions)}; INVALID_ARGUMENT as {@link
   *     #newSession(SessionOptions)}
   */
  @NonNull
  public static MemoryEstimate estimate(@NonNull File file, @NonNull SessionOptions options) {
    byte[] path = Check.withoutZero(Check.notNull(file, "file").getPath(), "file");
    Check.notNull(options, "options");
    return new MemoryEstimate(
        Native.estimatePath(
            path,
            options.threads,
            options.contextTokens,
            options.prefillChunk,
            options.kvFormat.code));
  }

  /** The same for a part of an open file, as {@link #openDescriptor} takes it. */
  @NonNull
  public static MemoryEstimate estimateDescriptor(
      int descriptor, long offset, long length, @NonNull SessionOptions options) {
    Check.notNegative(descriptor, "descriptor");
    Check.notNegative(offset, "offset");
    Check.notNegative(length, "length");
    Check.notNull(options, "options");
    return new MemoryEstimate(
        Native.estimateDescriptor(
            descriptor,
            offset,
            length,
            options.threads,
            options.contextTokens,
            options.prefillChunk,
            options.kvFormat.code));
  }

  /** What the model is. */
  @NonNull
  public ModelInfo getInfo() {
    long model = enter();
    try {
      return new ModelInfo(
          Native.modelNumbers(model),
          utf8(Native.modelText(model, 0)),
          utf8(Native.modelText(model, 1)));
    } finally {
      leave();
    }
  }

  /**
   * Asks the model what its file, or its pack, says it must answer. It takes the time of some tens
   * of tokens: not for the main thread.
   *
   * @throws GraftException OUT_OF_MEMORY
   */
  @NonNull
  public SelfTest selfTest() {
    long model = enter();
    try {
      double[] numbers = new double[SelfTest.NUMBERS];
      return new SelfTest(numbers, utf8(Native.selfTest(model, numbers)));
    } finally {
      leave();
    }
  }

  /** What the scores of a classification are of, in their order; empty: they have no names. */
  @NonNull
  public List<String> getLabels() {
    long model = enter();
    try {
      List<String> labels = new ArrayList<>();
      for (byte[] label; (label = Native.label(model, labels.size())) != null; ) {
        labels.add(utf8(label));
      }
      return Collections.unmodifiableList(labels);
    } finally {
      leave();
    }
  }

  /** Makes a session with {@link SessionOptions#DEFAULT}. */
  @NonNull
  public Session newSession() {
    return newSession(SessionOptions.DEFAULT);
  }

  /**
   * Makes a session: room for a context, and threads.
   *
   * @throws GraftException OUT_OF_MEMORY, INVALID_ARGUMENT
   */
  @NonNull
  public Session newSession(@NonNull SessionOptions options) {
    Check.notNull(options, "options");
    vocabulary = getInfo().getVocabulary();
    long model = enter();
    boolean isMade = false;
    try {
      long session =
          Native.createSession(
              model,
              options.threads,
              options.contextTokens,
              options.prefillChunk,
              options.kvFormat.code,
              options.memoryLimitBytes,
              options.cpus);
      Session made = new Session(this, model, session);
      isMade = true;
      return made;
    } finally {
      if (!isMade) leave(); // else when the session is closed
    }
  }

  /**
   * Token ids of a text.
   *
   * @param addSpecial whether to put the tokens before and after it that the model expects
   * @throws GraftException FAILED_PRECONDITION or UNSUPPORTED if the model has no tokenizer
   */
  @NonNull
  public int[] tokenize(@NonNull String text, boolean addSpecial) {
    byte[] bytes = Check.notNull(text, "text").getBytes(StandardCharsets.UTF_8);
    long model = enter();
    try {
      return Native.tokenize(model, bytes, addSpecial);
    } finally {
      leave();
    }
  }

  /**
   * Text of token ids. Bytes that are no whole character become U+FFFD.
   *
   * @param skipSpecial whether to leave special tokens out
   * @throws GraftException OUT_OF_RANGE for an id that the vocabulary does not have
   */
  @NonNull
  public String detokenize(@NonNull int[] ids, boolean skipSpecial) {
    Check.notNull(ids, "ids");
    long model = enter();
    try {
      return utf8(Native.detokenize(model, ids, skipSpecial));
    } finally {
      leave();
    }
  }

  /**
   * The text the model was trained to see for these messages, by its chat template. It holds the
   * special tokens it needs: tokenize it without adding any, or use {@link Session#chat}.
   *
   * @throws GraftException FAILED_PRECONDITION (no template), INVALID_ARGUMENT (the template
   *     refuses the messages), CORRUPT, UNSUPPORTED, OUT_OF_RANGE (it takes too many steps)
   */
  @NonNull
  public String renderChat(@NonNull List<ChatMessage> messages, @NonNull ChatOptions options) {
    long model = enter();
    try {
      return utf8(ChatText.render(model, messages, options));
    } finally {
      leave();
    }
  }

  /**
   * Makes a reader of one reply to {@code prompt}, which is what {@link #renderChat} gave; null: of
   * one that does not begin within the model's thinking.
   *
   * @param options what the prompt was rendered with: its tools and its template
   * @param format a name of docs/answers.md; "": as the template or the model's tokens tell
   * @throws GraftException INVALID_ARGUMENT for a format that is not known, or tools that are none
   */
  @NonNull
  public ReplyReader newReplyReader(
      @NonNull ChatOptions options, @NonNull String format, @Nullable String prompt) {
    Check.notNull(options, "options");
    byte[] name = Check.withoutZero(format, "format");
    byte[] text = prompt == null ? null : Check.withoutZero(prompt, "prompt");
    long model = enter();
    try {
      return new ReplyReader(
          Native.createReply(model, name, options.tools, text, options.template));
    } finally {
      leave();
    }
  }

  /**
   * Turns the model into what a pack makes of the base that was opened, or back into that base, in
   * its place: much faster than opening, and without a second copy of the weights. Sessions stay,
   * with their options, and hold no tokens afterwards. Their calls wait meanwhile. After a failure
   * model and sessions are as they were.
   *
   * @param pack a .graftpack file; null: back into the base
   * @throws GraftException FAILED_PRECONDITION while a call of a session of this model runs;
   *     MISMATCH for a pack of another base; otherwise as {@link #open(File, ModelOptions)}
   */
  public void swap(@Nullable File pack) {
    swap(pack == null ? null : Check.withoutZero(pack.getPath(), "pack"), -1, 0, 0, null);
  }

  /**
   * The same with a pack that is a part of an open file.
   *
   * @param descriptor stays the caller's, who may close it after this call
   * @param offset in bytes
   * @param length in bytes; 0: up to the file's end
   */
  public void swapDescriptor(int descriptor, long offset, long length) {
    swapDescriptor(descriptor, offset, length, null);
  }

  /** The same with the pack's signature, for a model that was opened with trusted keys. */
  public void swapDescriptor(
      int descriptor, long offset, long length, @Nullable byte[] signature) {
    Check.notNegative(descriptor, "descriptor");
    Check.notNegative(offset, "offset");
    Check.notNegative(length, "length");
    swap(null, descriptor, offset, length, signature);
  }

  private void swap(
      byte[] path, int descriptor, long offset, long length, byte[] signature) {
    long model = enter();
    try {
      swaps.beginSwap();
      try {
        Native.swapModel(model, path, descriptor, offset, length, signature);
        vocabulary = getInfo().getVocabulary();
      } finally {
        swaps.endSwap();
      }
    } finally {
      leave();
    }
  }

  /** Calls of sessions go through here, so that none runs while the model is swapped. */
  SwapTurns swaps() {
    return swaps;
  }

  /** Token ids are below it. Within a call of a session. */
  int vocabulary() {
    return vocabulary;
  }

  /**
   * Gives back memory that the model can read again from its file and its cache. The next call takes
   * a little longer, and gives the same. For {@code onTrimMemory}; any thread, also while sessions
   * generate.
   */
  public void trim() {
    long model = enter();
    try {
      Native.trimModel(model);
    } finally {
      leave();
    }
  }

  /** Whether {@link #close()} was called. */
  public boolean isClosed() {
    synchronized (lock) {
      return closed;
    }
  }

  /**
   * Frees the model, once calls of other threads are done and its last session is closed. Any
   * number of times, from any thread.
   */
  @Override
  public void close() {
    synchronized (lock) {
      closed = true;
      if (users == 0) free(); // else the last user does
    }
  }

  long enter() {
    synchronized (lock) {
      if (closed) throw new IllegalStateException("the model is closed");
      ++users;
      return handle;
    }
  }

  void leave() {
    synchronized (lock) {
      --users;
      if (closed && users == 0) free();
    }
  }

  private void free() {
    if (handle != 0) Native.destroyModel(handle);
    handle = 0;
  }

  static String utf8(byte[] bytes) {
    return new String(bytes, StandardCharsets.UTF_8);
  }
}
