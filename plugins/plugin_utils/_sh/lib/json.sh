# What is written as JSON. What could not be written whole is a failure, also where only something in the middle is missing: a disk that was full
# for a moment, a process that could not be started.
# shellcheck shell=sh

# json TEXT: most texts are what they are in JSON too, and start no process.
json() {
    case $1 in
    *[!A-Za-z0-9" "._/:,+=@%-]*)
        printf '%s' "$1" | json_text
        ;;
    *) printf '"%s"' "$1" ;;
    esac
}

# json_text: the same of standard input, whatever bytes that has: control characters (C0, DEL and C1) and what is no UTF-8 are
# left out, as half a character at a place where somebody has cut it off.
json_text() {
    utf8_only && printf '"' || return 1
    tr -d '\000-\010\013-\037\177' | sed -E -e "$utf8_only" -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }' && printf '"'
}

# utf8_only: what makes sed leave out of a line what is no UTF-8, and C1, in $utf8_only. A line is bytes to it. Of what fits at
# a place it takes the longest, so a byte by itself is one that belongs to no character; and only characters are put back.
utf8_only() {
    [ -z "${utf8_only-}" ] || return 0
    utf8_only=$(printf '/[\200-\377]/s/(\302[\240-\277]|[\303-\337][\200-\277]|\340[\240-\277][\200-\277]|[\341-\354\356\357][\200-\277]{2}|\355[\200-\237][\200-\277]|\360[\220-\277][\200-\277]{2}|[\361-\363][\200-\277]{3}|\364[\200-\217][\200-\277]{2})|\302[\200-\237]|[\200-\377]/\\1/g')
}

# One line a field, so that repair after a power loss can read it back with sed.
json_field() {
    json "$1" && printf ': ' && json "$2"
}

# json_file NAME FILE: the content of a file, which mostly is not there; then no process is started.
json_file() { if [ -s "$2" ]; then json_field "$1" "$(cat "$2")"; else json_field "$1" ''; fi; }
