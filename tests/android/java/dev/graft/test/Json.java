// SPDX-License-Identifier: Apache-2.0
package dev.graft.test;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the fixtures' JSON: maps, lists, strings, doubles, booleans and null. */
final class Json {
  private final String text;
  private int at;

  private Json(String text) {
    this.text = text;
  }

  static Object parse(String text) {
    return new Json(text).value();
  }

  @SuppressWarnings("unchecked")
  static Map<String, Object> object(Object value) {
    return (Map<String, Object>) value;
  }

  @SuppressWarnings("unchecked")
  static List<Object> list(Object value) {
    return (List<Object>) value;
  }

  static int[] ints(Object value) {
    return list(value).stream().mapToInt(number -> ((Double) number).intValue()).toArray();
  }

  static long[] longs(Object value) {
    return list(value).stream().mapToLong(number -> ((Double) number).longValue()).toArray();
  }

  private char next() {
    while (Character.isWhitespace(text.charAt(at))) ++at;
    return text.charAt(at);
  }

  private boolean take(char wanted) {
    if (next() != wanted) return false;
    ++at;
    return true;
  }

  private Object value() {
    char first = next();
    if (first == '"') return string();
    if (take('{')) {
      Map<String, Object> members = new LinkedHashMap<>();
      while (!take('}')) {
        next();
        String name = string();
        take(':');
        members.put(name, value());
        take(',');
      }
      return members;
    }
    if (take('[')) {
      List<Object> elements = new ArrayList<>();
      while (!take(']')) {
        elements.add(value());
        take(',');
      }
      return elements;
    }
    int begin = at;
    while (at < text.length() && ",]} \n".indexOf(text.charAt(at)) < 0) ++at;
    String word = text.substring(begin, at);
    if (word.equals("null")) return null;
    if (word.equals("true") || word.equals("false")) return Boolean.valueOf(word);
    return Double.valueOf(word);
  }

  private String string() {
    StringBuilder result = new StringBuilder();
    for (++at; text.charAt(at) != '"'; ++at) {
      char c = text.charAt(at);
      if (c == '\\') {
        c = text.charAt(++at);
        if (c == 'u') {
          c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
          at += 4;
        } else if ("bfnrt".indexOf(c) >= 0) {
          c = "\b\f\n\r\t".charAt("bfnrt".indexOf(c));
        }
      }
      result.append(c);
    }
    ++at;
    return result.toString();
  }
}
