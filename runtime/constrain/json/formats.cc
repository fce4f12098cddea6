// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/json/formats.h"

namespace graft::runtime {
namespace {

// A line for each, its pattern behind the sign of equality. <X> stands for the line of <X.
// T and Z of times are capitals: not all readers take small ones.
// Source   RFC 3339, 4122, 5321, 1123, 2673, 4291, 3986 and 6901.
constexpr std::string_view kForms =
    "\n<D=(?!0000)(?:(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-"
    "(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8])))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|"
    "(?:[02468][048]|[13579][26])00)-02-29)"
    "\n<T=(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
    "\n<B=(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
    "\n<4=<B>(?:\\.<B>){3}"
    "\n<H=[0-9a-fA-F]{1,4}"
    "\n<L=(?:<H>:<H>|<4>)"
    "\n<6=(?:(?:<H>:){6}<L>|::(?:<H>:){5}<L>|(?:<H>)?::(?:<H>:){4}<L>|(?:(?:<H>:){0,1}<H>)?::"
    "(?:<H>:){3}<L>|(?:(?:<H>:){0,2}<H>)?::(?:<H>:){2}<L>|(?:(?:<H>:){0,3}<H>)?::<H>:<L>|"
    "(?:(?:<H>:){0,4}<H>)?::<L>|(?:(?:<H>:){0,5}<H>)?::<H>|(?:(?:<H>:){0,6}<H>)?::)"
    "\n<N=[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    "\n<P=(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})"
    "\n<A=//(?:(?:[a-zA-Z0-9._~!$&'()*+,;=:-]|%[0-9a-fA-F]{2})*@)?(?:\\[<6>\\]|(?:"
    "[a-zA-Z0-9._~!$&'()*+,;=-]|%[0-9a-fA-F]{2})*)(?::\\d{0,5})?(?:/<P>*)*"
    "\n<Q=(?:\\?(?:<P>|[/?])*)?(?:#(?:<P>|[/?])*)?"
    "\n<E=[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
    "\n<U=[a-zA-Z][a-zA-Z0-9+.-]*:(?:<A>|/(?:<P>+(?:/<P>*)*)?|<P>+(?:/<P>*)*)<Q>"
    "\n<I=\\d+S|\\d+M(?:\\d+S)?|\\d+H(?:\\d+M(?:\\d+S)?)?"
    "\ndate=<D>"
    "\ntime=<T>"
    "\ndate-time=<D>T<T>"
    "\nduration=P(?:\\d+W|(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)(?:T(?:<I>))?|T(?:<I>)"
    ")"
    "\nuuid=[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    "\nemail=<E>(?:\\.<E>)*@<N>(?:\\.<N>)*"
    "\nhostname=<N>(?:\\.<N>)*"
    "\nipv4=<4>"
    "\nipv6=<6>"
    "\nuri=<U>"
    "\nuri-reference=(?:<U>|(?:<A>|/(?:<P>+(?:/<P>*)*)?|(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|"
    "%[0-9a-fA-F]{2})+(?:/<P>*)*)?<Q>)"
    "\njson-pointer=(?:/(?:[^/~]|~[01])*)*"
    "\niri=\niri-reference=\nidn-email=\nidn-hostname=\nuri-template=\nrelative-json-pointer="
    "\nregex=\n";

}  // namespace

std::optional<std::string> FormatPattern(std::string_view name) {
  const std::string line = "\n" + std::string(name) + "=";
  const size_t found = kForms.find(line);
  if (found == std::string_view::npos || line.find_first_of("<=") + 1 != line.size()) {
    return std::nullopt;
  }
  const size_t begin = found + line.size();
  std::string pattern(kForms.substr(begin, kForms.find('\n', begin) - begin));
  for (size_t at = pattern.find('<'); at != std::string::npos; at = pattern.find('<', at)) {
    const size_t piece = kForms.find("\n" + pattern.substr(at, 2) + "=") + 4;
    pattern.replace(at, 3, kForms.substr(piece, kForms.find('\n', piece) - piece));
  }
  return pattern;
}

}  // namespace graft::runtime
