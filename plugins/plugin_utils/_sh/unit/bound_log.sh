# Keeps the log of a build from filling /run, whatever the build prints: the beginning, where Nix says what it is about, and the end. It is
# Nix that writes the file, at its end; so what is dropped becomes a hole, and nothing moves. Arguments: the build's directory, and every how
# many seconds to look until the build has ended; 0 for one look. punch: fallocate, or what does nothing.
# facts: punch
# shellcheck shell=sh

LC_ALL=C
export LC_ALL
umask 077
head=262144
# With what is added meanwhile, one answer of command/build.
tail=196608

# drop: but for head and tail. Whoever reads goes by `dropped`, also where the room of it cannot be had back.
drop() {
    local end size
    size=$(stat -c %s "$build/log" 2>/dev/null) || return 0
    end=$((size - tail))
    [ "$end" -gt $((head + tail)) ] || return 0
    printf '%s\n' "$head $end" >"$build/dropped.$$" && mv -f "$build/dropped.$$" "$build/dropped" &&
        "$punch" --punch-hole --offset "$head" --length $((end - head)) "$build/log" 2>/dev/null
    return 0
}

build=$1
while drop && [ "$2" != 0 ] && sleep "$2"; do
    [ -d "$build" ] && [ ! -e "$build/result" ] || break
done
