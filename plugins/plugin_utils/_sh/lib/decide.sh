# The window of a deployment that waits for confirmation.
# shellcheck shell=sh

# decide NAME: what becomes of a deployment that waits for it; no, if somebody was faster. The line is for the supervisor, which
# waits for it.
decide() {
    mv "$dir/window" "$dir/$1" 2>/dev/null || return 1
    { echo decided >>"$dir/states"; } 2>/dev/null || :
}
