// SPDX-License-Identifier: Apache-2.0
// What stands around a fragment of Java in a document.
import dev.graft.*;
import java.io.File;
import java.util.*;

class FRAGMENT_NAME {
  static String toolsJson;
  static ReplyListener listener;

  static void print(String text) {
    System.out.print(text);
  }

  static void run(File file) throws Exception {
  FRAGMENT;
  }
}
