// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import androidx.annotation.Nullable;
import java.nio.charset.StandardCharsets;

/**
 * Takes a reply apart while it comes: text, thinking, and calls of functions. One thread at a time.
 *
 * <p>The reply was generated with the same tools, or with a {@link
 * GenerateOptions.Builder#replyFormat}. Made by {@link Model#newReplyReader}. Close it.
 */
public final class ReplyReader implements AutoCloseable {
  private long handle; // 0: closed

  ReplyReader(long handle) {
    this.handle = handle;
  }

  /**
   * Reads on.
   *
   * @param piece what a {@link TokenListener} was given
   * @param listener is called before this returns; null: nobody is
   */
  public synchronized void append(@NonNull String piece, @Nullable ReplyListener listener) {
    tell(
        Native.readReply(
            open(), Check.notNull(piece, "piece").getBytes(StandardCharsets.UTF_8), false),
        listener);
  }

  /** The same for the end of the reply: what was held back is told. Nothing can be appended. */
  public synchronized void finish(@Nullable ReplyListener listener) {
    tell(Native.readReply(open(), new byte[0], true), listener);
  }

  /** The reply so far, for the messages of the next prompt. */
  @NonNull
  public synchronized ChatMessage getMessage() {
    return ChatMessage.ofJson("assistant", text(Native.replyMessage(open())));
  }

  @Override
  public synchronized void close() {
    long closed = handle;
    handle = 0;
    if (closed != 0) Native.destroyReply(closed);
  }

  private long open() {
    if (handle == 0) throw new IllegalStateException("the reply reader is closed");
    return handle;
  }

  /** Four elements a part: its kind, which is how many bytes the first has, text, name, id. */
  private static void tell(byte[][] parts, ReplyListener listener) {
    for (int i = 0; listener != null && i < parts.length; i += 4) {
      String text = text(parts[i + 1]);
      if (parts[i].length == 0) {
        listener.onText(text);
      } else if (parts[i].length == 1) {
        listener.onThinking(text);
      } else {
        listener.onCall(new ToolCall(text(parts[i + 3]), text(parts[i + 2]), text));
      }
    }
  }

  private static String text(byte[] utf8) {
    return new String(utf8, StandardCharsets.UTF_8);
  }
}
