# A directory that nobody but root could have prepared.
# shellcheck shell=sh

# Root's own directory: no link, nobody else's, no rights for others.
own_directory() {
    [ -d "$1" ] || mkdir -m 0700 "$1" 2>/dev/null
    [ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %u:%a "$1")" = "0:700" ]
}
