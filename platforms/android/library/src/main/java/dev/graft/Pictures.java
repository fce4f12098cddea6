// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Pictures in the texts of models that see. */
public final class Pictures {
  private Pictures() {}

  /**
   * {@code text} with what stands for each picture in the place that it has for it, which {@link
   * Model#renderChat} leaves; before it if it has none. Tokenize it without adding special tokens,
   * and give the same pictures to {@link Session#setPictures}.
   *
   * @throws GraftException UNSUPPORTED (the model takes no pictures), INVALID_ARGUMENT (the text has
   *     places for more or fewer), OUT_OF_RANGE (more than 64)
   */
  @NonNull
  public static String place(
      @NonNull Model model, @NonNull String text, @NonNull List<Pixels> pictures) {
    byte[] bytes = Check.notNull(text, "text").getBytes(StandardCharsets.UTF_8);
    int[] sides = Pixels.sidesOf(Check.notNull(pictures, "pictures"));
    long handle = Check.notNull(model, "model").enter();
    try {
      return Model.utf8(Native.placePictures(handle, bytes, sides));
    } finally {
      model.leave();
    }
  }
}
