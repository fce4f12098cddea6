// SPDX-License-Identifier: Apache-2.0
// Regular expressions as tokenizer.json holds them (Oniguruma, Ruby syntax), rewritten in PCRE2's
// syntax with the same meaning.
#pragma once

#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::converter {

/// `pattern` for PCRE2 with PCRE2_UTF and PCRE2_UCP. What differs between the two and is carried
/// over: \s, \w, \b, \h, \v and POSIX classes over Unicode, names of properties, scripts without
/// their extensions, (?m), line anchors, {n,m}+ and {n}?, {,n}, nested and intersected classes. The
/// result compiles with PCRE2.
/// Errors   kUnsupported: a construct that has no equivalent, or that PCRE2 refuses; the message has no
///          file name.
/// Source   Oniguruma doc/RE; PCRE2 pcre2pattern(3).
Result<std::string> ToPcre2(std::string_view pattern);

}  // namespace graft::converter
