// SPDX-License-Identifier: Apache-2.0

import dev.graft.GenerateOptions;
import dev.graft.GraftException;
import dev.graft.Model;
import dev.graft.Session;
import java.io.File;

/** Prints what a model writes after a prompt: Write MODEL PROMPT. */
public final class Write {
  private Write() {}

  public static void main(String[] arguments) {
    if (arguments.length != 2) {
      System.err.println("usage: Write MODEL PROMPT");
      System.exit(2);
    }
    GenerateOptions options = GenerateOptions.builder().maxTokens(40).build();
    try (Model model = Model.open(new File(arguments[0])); Session session = model.newSession()) {
      session.generate(
          arguments[1],
          options,
          (id, text) -> {
            System.out.print(text);
            return true; // false would stop
          });
      System.out.println();
    } catch (GraftException e) {
      System.err.println(e.getStatus() + ": " + e.getMessage());
      System.exit(1);
    }
  }
}
