// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A named, dense, row-major tensor.
 *
 * <p>It keeps the array that it is made of, without a copy: do not change that while a call uses
 * it.
 */
public final class Tensor {
  /** What the elements are. */
  public enum Type {
    FLOAT32,
    INT32
  }

  /** Objects of an output as native code gives it: name, type, shape, elements. */
  static final int NATIVE_PARTS = 4;

  private static final int MAX_RANK = 8;

  private final String name;
  private final long[] shape;
  private final float[] floats; // one of the two
  private final int[] ints;

  private Tensor(String name, long[] shape, float[] floats, int[] ints) {
    this.name = Check.notNull(name, "name");
    this.shape = Check.notNull(shape, "shape").clone();
    this.floats = floats;
    this.ints = ints;
    if (shape.length > MAX_RANK) {
      throw new IllegalArgumentException(name + ": rank " + shape.length + " exceeds " + MAX_RANK);
    }
    int size = floats != null ? floats.length : ints.length;
    long left = size; // divided by each length, so that no product overflows
    boolean isEmpty = false;
    for (long length : shape) {
      Check.notNegative(length, name + ": a length");
      isEmpty |= length == 0;
    }
    for (int i = 0; i < shape.length && !isEmpty; ++i) {
      left = left % shape[i] == 0 ? left / shape[i] : 0;
    }
    if (isEmpty ? size != 0 : left != 1) {
      throw new IllegalArgumentException(
          name + ": " + size + " elements do not fill the shape " + Arrays.toString(shape));
    }
  }

  /** Of float32; the lengths of {@code shape} multiply to the number of elements. */
  @NonNull
  public static Tensor ofFloats(
      @NonNull String name, @NonNull float[] elements, @NonNull long... shape) {
    return new Tensor(name, shape, Check.notNull(elements, "elements"), null);
  }

  /** Of int32, token ids for example. */
  @NonNull
  public static Tensor ofInts(
      @NonNull String name, @NonNull int[] elements, @NonNull long... shape) {
    return new Tensor(name, shape, null, Check.notNull(elements, "elements"));
  }

  static Tensor ofNative(Object[] parts, int at) {
    String name = new String((byte[]) parts[at], StandardCharsets.UTF_8);
    int code = ((int[]) parts[at + 1])[0];
    long[] shape = (long[]) parts[at + 2];
    return code == Type.FLOAT32.ordinal()
        ? new Tensor(name, shape, (float[]) parts[at + 3], null)
        : new Tensor(name, shape, null, (int[]) parts[at + 3]);
  }

  @NonNull
  public String getName() {
    return name;
  }

  @NonNull
  public Type getType() {
    return floats != null ? Type.FLOAT32 : Type.INT32;
  }

  /** A copy. */
  @NonNull
  public long[] getShape() {
    return shape.clone();
  }

  /**
   * The elements, not a copy.
   *
   * @throws IllegalStateException if they are of another type
   */
  @NonNull
  public float[] getFloats() {
    if (floats == null) throw new IllegalStateException(name + " is of int32");
    return floats;
  }

  /**
   * The elements, not a copy.
   *
   * @throws IllegalStateException if they are of another type
   */
  @NonNull
  public int[] getInts() {
    if (ints == null) throw new IllegalStateException(name + " is of float32");
    return ints;
  }

  /** {@code GRAFT_TYPE_...} of graft.h, which counts from 0 in Type's order. */
  int typeCode() {
    return getType().ordinal();
  }

  long[] shape() {
    return shape;
  }

  Object data() {
    return floats != null ? floats : ints;
  }
}
