# What is written as JSON.
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

# json_text: the same of standard input.
json_text() {
    printf '"'
    tr -d '\000-\010\013-\037\177' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
    printf '"'
}

# One line a field, so that repair after a power loss can read it back with sed.
json_field() {
    json "$1"
    printf ': '
    json "$2"
}

# json_file NAME FILE: the content of a file, which mostly is not there; then no process is started.
json_file() { if [ -s "$2" ]; then json_field "$1" "$(cat "$2")"; else json_field "$1" ''; fi; }
