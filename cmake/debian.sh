# SPDX-License-Identifier: Apache-2.0
# Sourced by ./run: installs Debian packages that are missing, and downloads the pinned sources through Debian's source packages.

compiler_packages=(g++ cmake ninja-build ccache python3 pkg-config)   # python3: XNNPACK generates a list and a source with it; pkg-config: a test
library_packages=(libflatbuffers-dev doctest-dev nlohmann-json3-dev libcli11-dev libxxhash-dev)   # the "headers" lines of dependencies.txt
build_packages=(ca-certificates xz-utils "${compiler_packages[@]}" "${library_packages[@]}")
arm_packages=(g++-aarch64-linux-gnu qemu-user-static)
armv7_packages=(g++-arm-linux-gnueabihf qemu-user-static)
lint_packages=(clang-format-14 clang-tidy-14 clang-14)   # clang-14: also what only Android compiles
java_packages=(openjdk-17-jdk-headless)
schema_packages=(flatbuffers-compiler)
bench_packages=(libbenchmark-dev)
fuzz_packages=(clang-14 libclang-rt-14-dev libfuzzer-14-dev)

# retry COMMAND...: mirrors fail now and then; three tries, then the last one's status.
retry() {
  local try
  for try in 1 2; do
    "$@" && return
    printf 'run: try %s of "%s" failed, again in %s s\n' "$try" "$*" "$((try * 5))" >&2
    sleep $((try * 5))
  done
  "$@"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@"; }

# need PACKAGE...: installs those that are missing.
lists_updated=
need() {
  local package missing=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is not Debian, so ./run cannot install $*. Install a C++20 compiler, CMake 3.25 and Ninja, then:" \
      "cmake --preset release -DGRAFT_FETCH_DEPENDENCIES=ON && cmake --build --preset release"
  fi
  for package; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  [[ $(id -u) == 0 ]] || die "missing Debian packages: ${missing[*]}. Run this as root, or install them: apt-get install ${missing[*]}"
  say "Installing from Debian: ${missing[*]}"
  local log=$GRAFT_CACHE_DIR/apt.log
  mkdir -p "$GRAFT_CACHE_DIR"
  if [[ -z $lists_updated ]]; then
    retry apt_get update >"$log" 2>&1 || { tail -20 "$log" >&2; die "apt-get update failed"; }
    lists_updated=1
  fi
  retry apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    { tail -20 "$log" >&2; die "apt-get install failed for: ${missing[*]}"; }
}

# The address this machine already takes Debian's main archive from.
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1
}

# fetch_with_apt FOLDER SOURCE/SUITE...: upstream tarballs of Debian source packages, into FOLDER. Everything apt writes stays in a folder
# of ours, so the machine's own lists and sources are untouched, and no root is needed.
fetch_with_apt() {
  local folder=$1 mirror suite private=$GRAFT_CACHE_DIR/apt
  shift
  mirror=$(debian_mirror)
  if [[ -z $mirror && $(id -u) == 0 ]]; then
    retry apt_get update >/dev/null 2>&1 || true
    mirror=$(debian_mirror)
  fi
  [[ -n $mirror ]] || { echo "run: no Debian archive among this machine's apt sources" >&2; return 1; }
  mkdir -p "$private/lists/partial" "$private/cache/archives/partial"
  : >"$private/status"
  for suite in $(printf '%s\n' "${@#*/}" | sort -u); do
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$private/sources.list"
  local options=(-q -o Dir::Etc::sourcelist="$private/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::Lists="$private/lists"
    -o Dir::State::status="$private/status" -o Dir::Cache="$private/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1
    -o APT::Get::List-Cleanup=1)
  retry apt-get "${options[@]}" update >"$private/log" 2>&1 || { tail -5 "$private/log" >&2; return 1; }
  # One source at a time: a mirror that lacks one must not keep the others away.
  local source status=0
  for source; do
    (cd "$folder" && retry apt-get "${options[@]}" source --download-only --tar-only "$source" >"$private/log" 2>&1) ||
      { tail -3 "$private/log" >&2; status=1; }
  done
  rm -rf "$private"
  return $status
}

# download_sources: puts every tarball of dependencies.txt, checked, into the cache. Sets fetch_options for what Debian does not have (any more).
fetch_options=()
download_sources() {
  local kind name debian tarball sha256 url _ wanted=()
  local folder=$GRAFT_CACHE_DIR/downloads
  mkdir -p "$folder"
  while read -r kind name debian tarball sha256 url _; do
    [[ $kind == source || $kind == file ]] || continue
    echo "$sha256  $folder/$tarball" | sha256sum --check --status 2>/dev/null || wanted+=("$debian")
  done <cmake/dependencies.txt
  ((${#wanted[@]})) || return 0
  say "Downloading sources through Debian: ${wanted[*]}"
  rm -rf "$folder.partial"
  mkdir "$folder.partial"
  fetch_with_apt "$folder.partial" "${wanted[@]}" || true
  while read -r kind name debian tarball sha256 url _; do
    [[ ($kind == source || $kind == file) && " ${wanted[*]} " == *" $debian "* ]] || continue
    if echo "$sha256  $folder.partial/$tarball" | sha256sum --check --status 2>/dev/null; then
      mv "$folder.partial/$tarball" "$folder/"
    elif [[ -e $folder.partial/$tarball ]]; then
      die "$tarball from Debian does not have the SHA-256 that cmake/dependencies.txt names ($sha256)"
    else
      say "$tarball could not be had from Debian; its commit will be fetched from $url"
      fetch_options=(-DGRAFT_FETCH_DEPENDENCIES=ON)
    fi
  done <cmake/dependencies.txt
  rm -rf "$folder.partial"
  if ((${#fetch_options[@]})); then need git ca-certificates; fi
}

# download_kotlin: a Kotlin compiler for the tests of platforms/android, where npm is: its packages hold what Debian's is too old for.
# Adds to test_options. Without it those tests alone are left out.
test_options=()
download_kotlin() {
  local version=2.4.20 sha256=c23dab400d7ce5ea8b6c909947c0ca5454189e4bb1108695b5f464500e5e950f
  local folder=$GRAFT_CACHE_DIR/kotlin-$version
  if [[ ! -e $folder/lib/kotlin-compiler.jar ]]; then
    if ! command -v npm >/dev/null; then say "No npm, so no Kotlin compiler: its tests are left out"; return 0; fi
    say "Downloading a Kotlin compiler through npm"
    rm -rf "$folder.partial"
    mkdir -p "$folder.partial"
    (cd "$folder.partial" && retry npm pack --silent "kotlin-compiler@$version" >/dev/null 2>&1) ||
      { say "The Kotlin compiler could not be had: its tests are left out"; return 0; }
    local tarball=$folder.partial/kotlin-compiler-$version.tgz
    echo "$sha256  $tarball" | sha256sum --check --status || die "kotlin-compiler-$version.tgz does not have the SHA-256 that cmake/debian.sh names"
    tar -xzf "$tarball" -C "$folder.partial" --strip-components=1
    rm "$tarball"
    mv "$folder.partial" "$folder"
  fi
  test_options+=("-DGRAFT_KOTLIN_HOME=$folder")
}
