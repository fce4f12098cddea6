// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import java.nio.ByteBuffer;

/**
 * The functions of libgraft_jni.so. They trust what they are given: a handle is alive, and no other
 * thread is inside the session, which {@link Model} and {@link Session} see to.
 */
final class Native {
  static {
    System.loadLibrary("graft_jni");
  }

  private Native() {}

  // ---- Models

  static native String version();

  static native long openPath(
      byte[] path,
      int threads,
      boolean verifyContents,
      byte[] cacheFolder,
      long cacheLimitBytes,
      long memoryLimitBytes,
      byte[] packPath,
      int packDescriptor,
      long packOffset,
      long packLength,
      byte[] packSignature,
      byte[] trustedKeys,
      byte[] signature);

  static native long openDescriptor(
      int descriptor,
      long offset,
      long length,
      int threads,
      boolean verifyContents,
      byte[] cacheFolder,
      long cacheLimitBytes,
      long memoryLimitBytes,
      byte[] packPath,
      int packDescriptor,
      long packOffset,
      long packLength,
      byte[] packSignature,
      byte[] trustedKeys,
      byte[] signature);

  static native long[] estimatePath(
      byte[] path, int threads, int contextTokens, int prefillChunk, int kvFormat);

  static native long[] estimateDescriptor(
      int descriptor,
      long offset,
      long length,
      int threads,
      int contextTokens,
      int prefillChunk,
      int kvFormat);

  static native void destroyModel(long model);

  static native void swapModel(
      long model,
      byte[] packPath,
      int packDescriptor,
      long packOffset,
      long packLength,
      byte[] packSignature);

  static native byte[] selfTest(long model, double[] numbers);

  static native void trimModel(long model);

  static native long[] modelNumbers(long model);

  static native byte[] modelText(long model, int which);

  static native int[] tokenize(long model, byte[] text, boolean addSpecial);

  static native byte[] detokenize(long model, int[] ids, boolean skipSpecial);

  static native byte[] renderChat(
      long model,
      byte[][] roles,
      byte[][] contents,
      boolean withoutGenerationPrompt,
      byte[] template,
      byte[][] names,
      byte[][] values,
      byte[] messages,
      byte[] tools,
      byte[] documents,
      byte[] variables,
      int[] pictures);

  static native byte[] placePictures(long model, byte[] text, int[] sides);

  static native long createReply(
      long model, byte[] format, byte[] tools, byte[] prompt, byte[] template);

  /** Four elements for each part: see {@link ReplyReader}. */
  static native byte[][] readReply(long reply, byte[] text, boolean isLast);

  static native byte[] replyMessage(long reply);

  static native void destroyReply(long reply);

  // ---- Sessions

  static native void setPictures(
      long session, int[][] argb, ByteBuffer[] rgba, int[] numbers);

  static native long createSession(
      long model,
      int threads,
      int contextTokens,
      int prefillChunk,
      int kvFormat,
      long memoryLimitBytes,
      byte[] cpus);

  static native void trimSession(long session);

  static native void destroySession(long session);

  static native void cancel(long session);

  static native long[] sessionNumbers(long session);

  static native long position(long session);

  static native void rewind(long session, long tokens);

  static native long keepPrefix(long session, int[] ids);

  static native void save(long session, byte[] path);

  static native void restore(long session, byte[] path);

  static native float[] append(long session, int[] ids, int vocabulary);

  static native long[] generate(
      long session,
      int[] prompt,
      int maxTokens,
      float temperature,
      int topK,
      float topP,
      float minP,
      float repeatPenalty,
      int repeatWindow,
      long seed,
      byte[][] stop,
      boolean ignoreEnd,
      boolean wholePrompt,
      int constraintKind,
      byte[][] constraint,
      byte[][] trigger,
      boolean inOrder,
      long draft,
      boolean speculate,
      byte[] tools,
      byte[] replyFormat,
      byte[] toolChoice,
      int[] biasIds,
      float[] biases,
      float presencePenalty,
      float frequencyPenalty,
      int logprobs,
      TokenSink sink);

  // ---- Images

  static native byte[] label(long model, int index);

  static native float[] computeImage(
      long session,
      boolean isEmbedding,
      int[] argb,
      ByteBuffer rgba,
      int offset,
      int width,
      int height,
      int rowStride);

  // ---- The machine

  static native long[] cpuNumbers();

  static native byte[] cpuText(int which);

  // ---- Tensors: four objects for each output, name (byte[]), type (int[1]), shape, elements

  static native Object[] forward(
      long session, byte[][] names, int[] types, long[][] shapes, Object[] data);
}
