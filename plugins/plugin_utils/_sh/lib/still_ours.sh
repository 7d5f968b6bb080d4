# Whose a deployment is that waits for confirmation, as another process than its own sees it.
# needs: base whose
# shellcheck shell=sh

# still_ours: whether the host runs what is tried, and nobody else has moved the boot default.
still_ours() (
    # shellcheck disable=SC1090,SC1091 # made by command/start and the supervisor
    . "$dir/settings" && . "$dir/facts" || exit 0
    PATH=$tools
    [ ! -e "$dir/mode" ] || mode=boot
    may_commit
)
