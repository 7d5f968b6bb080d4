# Part of deploy-flake: at the boot, secrets that no deployment has confirmed are put back, and those below /run, which a reboot takes away, put in
# their places again.
# shellcheck shell=sh

records=/var/lib/deploy-flake
tab=$(printf '\t')
umask 077

# place PATH OWNER GROUP MODE CONTENT: what is there, was put there since the boot. What was placed while nothing read it here, was not kept.
place() {
    [ ! -e "$1" ] && [ ! -L "$1" ] || return 0
    [ -e "$5" ] || { echo "the secret at $1 was not kept for a boot; deploy it again" && return; }
    [ -d "${1%/*}" ] || (umask 022 && mkdir -p "${1%/*}") || return 1
    [ "$(readlink -f "${1%/*}")" = "${1%/*}" ] || return 1
    new=${1%/*}/.${1##*/}.deploy-flake-new
    rm -f "$new" && cat "$5" >"$new" && chown "$2:$3" "$new" && chmod "$4" "$new" && mv -f "$new" "$1"
}

main() {
    status=0
    # The change that a power loss has interrupted has its own program with it.
    [ ! -e "$records/secrets.open/program" ] || /bin/sh "$records/secrets.open/program" at-boot - || status=1
    [ -e "$records/secrets/list" ] || exit "$status"
    while IFS=$tab read -r name path owner group mode; do
        case $path in
        /run/*)
            place "$path" "$owner" "$group" "$mode" "$records/secrets/content/$name" || {
                echo "the secret $name could not be put in its place, $path"
                status=1
            }
            ;;
        esac
    done <"$records/secrets/list"
    exit "$status"
}

main
