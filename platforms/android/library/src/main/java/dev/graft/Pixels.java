// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * An image of any size, as Android's Bitmap gives it. The pixels are not copied: they must not
 * change while a call uses them. Alpha is left out, not blended.
 */
public final class Pixels {
  private static final int RGBA_BYTES = 4;

  final int[] argb; // or:
  final ByteBuffer rgba;
  final int offset; // in bytes
  final int width;
  final int height;
  final int rowStride; // in bytes

  private Pixels(int[] argb, ByteBuffer rgba, int width, int height, int rowStride) {
    this.argb = argb;
    this.rgba = rgba;
    this.offset = rgba == null ? 0 : rgba.position();
    this.width = width;
    this.height = height;
    this.rowStride = rowStride;
  }

  /** Of {@code Bitmap.getPixels(argb, 0, width, 0, 0, width, height)}. */
  @NonNull
  public static Pixels ofArgb(@NonNull int[] argb, int width, int height) {
    Check.notNull(argb, "argb");
    checkSize(width, height);
    if ((long) width * height > argb.length) {
      throw new IllegalArgumentException(
          width + " x " + height + " pixels do not fit in " + argb.length + " numbers");
    }
    return new Pixels(argb, null, width, height, RGBA_BYTES * width);
  }

  /**
   * Of {@code Bitmap.copyPixelsToBuffer(rgba)} of an ARGB_8888 bitmap, whose bytes are red, green,
   * blue and alpha. They begin at the buffer's position.
   *
   * @param rgba direct ({@code ByteBuffer.allocateDirect})
   * @param rowStride bytes from one row to the next: {@code Bitmap.getRowBytes()}
   */
  @NonNull
  public static Pixels ofRgba(@NonNull ByteBuffer rgba, int width, int height, int rowStride) {
    Check.notNull(rgba, "rgba");
    checkSize(width, height);
    if (!rgba.isDirect()) throw new IllegalArgumentException("the buffer is not direct");
    long rowBytes = (long) RGBA_BYTES * width;
    if (rowStride < rowBytes) {
      throw new IllegalArgumentException(
          "rows are " + rowStride + " bytes apart, but have " + rowBytes);
    }
    if ((long) rowStride * (height - 1) + rowBytes > rgba.remaining()) {
      throw new IllegalArgumentException(
          width + " x " + height + " pixels do not fit in " + rgba.remaining() + " bytes");
    }
    return new Pixels(null, rgba, width, height, rowStride);
  }

  /** A session's vector or scores of it. */
  float[] compute(long session, boolean isEmbedding) {
    return Native.computeImage(
        session, isEmbedding, argb, rgba, offset, width, height, rowStride);
  }

  /** The width and the height of each. */
  static int[] sidesOf(List<Pixels> pictures) {
    int[] sides = new int[2 * pictures.size()];
    for (int i = 0; i < pictures.size(); ++i) {
      Pixels picture = Check.notNull(pictures.get(i), "a picture");
      sides[2 * i] = picture.width;
      sides[2 * i + 1] = picture.height;
    }
    return sides;
  }

  /** Makes them the pictures of a session's text. */
  static void setIn(long session, List<Pixels> pictures) {
    int[][] argb = new int[pictures.size()][];
    ByteBuffer[] rgba = new ByteBuffer[argb.length];
    int[] numbers = new int[4 * argb.length];
    for (int i = 0; i < argb.length; ++i) {
      Pixels picture = Check.notNull(pictures.get(i), "a picture");
      argb[i] = picture.argb;
      rgba[i] = picture.rgba;
      numbers[4 * i] = picture.offset;
      numbers[4 * i + 1] = picture.width;
      numbers[4 * i + 2] = picture.height;
      numbers[4 * i + 3] = picture.rowStride;
    }
    Native.setPictures(session, argb, rgba, numbers);
  }

  private static void checkSize(int width, int height) {
    if (width < 1 || height < 1 || width > Integer.MAX_VALUE / RGBA_BYTES) {
      throw new IllegalArgumentException("the image is " + width + " x " + height + " pixels");
    }
  }
}
