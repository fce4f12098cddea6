// SPDX-License-Identifier: Apache-2.0
// Options: a command's options by name, checked and stored, on top of the system's getopt_long.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft_run {

class Options {
 public:
  /// A letter of 0: no short form. What is stored into must outlive this.
  void Flag(const char* name, bool* value);
  void String(const char* name, char letter, std::string* value, bool* is_given);
  void StringList(const char* name, std::vector<std::string>* values);
  void Integer(const char* name, char letter, uint64_t* value, uint64_t low, uint64_t high);
  void Float(const char* name, double* value, double low, double high);

  /// Reads argv[1] and on: one FILE, into *file, and options in any order. Without needs_file there
  /// may be none, and *file stays as it is. An option with a value stands once, unless it is a list.
  /// Returns  an empty string, or what is wrong with the command line.
  std::string Parse(int argc, char** argv, std::string* file, bool needs_file = true);
  /// The same for one FILE or more.
  std::string Parse(int argc, char** argv, std::vector<std::string>* files);

 private:
  enum class Kind : uint8_t { kFlag, kString, kStringList, kInteger, kFloat };
  struct Option {
    const char* name;
    char letter;
    Kind kind;
    void* value;
    bool* is_given;
    double low;
    double high;
  };

  std::string ParseAll(int argc, char** argv, std::vector<std::string>* files);
  static std::string Store(const Option& option, const char* text);

  std::vector<Option> options_;
};

/// "1,2,3" as ids. Returns an empty string, or what is wrong.
std::string ParseIds(std::string_view text, std::vector<int32_t>* ids);

}  // namespace graft_run
