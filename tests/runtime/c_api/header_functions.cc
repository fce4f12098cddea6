// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/c_api/header_functions.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

#include <doctest/doctest.h>

namespace graft::test {
namespace {

/// All headers' text without comments.
std::string HeaderText() {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(GRAFT_TEST_HEADERS)) {
    std::ifstream file(entry.path());
    REQUIRE(file.is_open());
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  std::string code;
  for (size_t at = 0; at < text.size();) {
    const size_t comment = text.find("/*", at);
    code.append(text, at, comment - at);
    if (comment == std::string::npos) break;
    at = text.find("*/", comment) + 2;
  }
  return code;
}

/// "const int32_t* ids": a pointer to a pointer is written to, and so is one to what is not const,
/// unless it is a handle or the callback's.
bool IsOut(const std::string& type) {
  if (type.find('*') == std::string::npos) return false;
  if (type.find("* const*") != std::string::npos) return false;
  if (type.find("**") != std::string::npos) return true;
  if (type.rfind("const ", 0) == 0) return false;
  return type != "graft_model*" && type != "graft_session*" && type != "graft_reply*" &&
         type != "graft_error*" && type != "void*";
}

/// The functions, and what stands between the parentheses of each.
std::map<std::string, std::string> Declarations() {
  const std::string code = HeaderText();
  const std::regex declaration(R"(GRAFT_API[^;()]*[\s*](graft_\w+)\(([^)]*)\);)");
  std::map<std::string, std::string> found;
  for (std::sregex_iterator it(code.begin(), code.end(), declaration), end; it != end; ++it)
    found[(*it)[1].str()] = (*it)[2].str();
  // Each declaration was understood.
  size_t declared = 0;
  for (size_t at = code.find("\nGRAFT_API "); at != std::string::npos;
       at = code.find("\nGRAFT_API ", at + 1))
    ++declared;
  REQUIRE(found.size() == declared);
  return found;
}

}  // namespace

std::map<std::string, std::set<std::string>> OutParametersOfHeaders() {
  const std::regex parameter(R"(^\s*(.*[\s*])(\w+)\s*$)");
  std::map<std::string, std::set<std::string>> found;
  for (const auto& [function, list] : Declarations()) {
    std::istringstream parameters(std::regex_replace(list, std::regex(R"(\s+)"), " "));
    for (std::string one; std::getline(parameters, one, ',');) {
      std::smatch parts;
      if (!std::regex_match(one, parts, parameter)) continue;  // (void)
      std::string type = parts[1].str();
      while (!type.empty() && type.back() == ' ') type.pop_back();
      if (IsOut(type)) found[function].insert(parts[2].str());
    }
  }
  return found;
}

std::set<std::string> FunctionsOfHeaders() {
  std::set<std::string> functions;
  for (const auto& [function, parameters] : Declarations()) functions.insert(function);
  return functions;
}

}  // namespace graft::test
