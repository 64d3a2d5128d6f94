# Shared by the scripts of this folder; sourced, after which the current directory is the root of the project.
# shellcheck shell=bash

cd "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

readonly source_folders=(engine persist net replica cli tests perf examples)

# How many compilers to run at once: one per processor, as far as memory allows.
parallel_jobs() {
    local processors memory_gib
    processors=$(nproc)
    memory_gib=$(awk '$1 == "MemAvailable:" { print int($2 / 1048576) }' /proc/meminfo)
    local by_memory=$((memory_gib * 2 / 3))
    if ((by_memory < 1)); then by_memory=1; fi
    echo $((processors < by_memory ? processors : by_memory))
}

# configure <preset> [tests]: runs CMake where the build system alone would not see the need. "tests": the tests have to
# be part of the build.
configure() {
    local preset=$1 folder=build/$1 state
    state="$(pwd) $(sha256sum <CMakePresets.json)"
    if [[ -f $folder/build.ninja && $(cat "$folder/.configured" 2>/dev/null) == "$state" ]]; then
        if [[ -z ${2-} || -f $folder/CTestTestfile.cmake ]]; then return 0; fi
    elif [[ -f $folder/.configured && $(cat "$folder/.configured") != "$(pwd) "* ]]; then
        rm -rf "$folder" # the checkout was moved or copied, and CMake's files hold the old place
    fi
    rm -f "$folder/.configured"
    cmake --preset "$preset" || return
    echo "$state" >"$folder/.configured"
}

# build <preset> <target>...
build() {
    local preset=$1
    shift
    cmake --build --preset "$preset" --parallel "$(parallel_jobs)" --target "$@"
}

# Every C++ file of the project, one per line.
source_files() { # pattern...
    local folder folders=() pattern tests=()
    for folder in "${source_folders[@]}"; do
        if [[ -d $folder ]]; then folders+=("$folder"); fi
    done
    for pattern in "$@"; do tests+=(-o -name "$pattern"); done
    find "${folders[@]}" -type f \( "${tests[@]:1}" \) | LC_ALL=C sort
}
