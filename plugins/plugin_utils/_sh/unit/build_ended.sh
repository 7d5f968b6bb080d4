# Runs as root when a build's unit ends, while Nix's own roots are still there. Arguments: its directory, the roots, its name.
# facts: interpreter
# shellcheck shell=sh

LC_ALL=C
export LC_ALL
umask 077
result=/run/deploy-flake-build-$3/result
# Of another output than `out` the name is in the link's.
for link in "$result" "$result"-*; do
    output=$(readlink "$link")
    case $output in
    /nix/store/*/*) ;;
    /nix/store/*)
        mkdir -p "$2" && ln -sfn "$output" "$2/${output##*/}"
        name=${link#"$result"}
        name=${name#-}
        printf '%s\n' "${name:-out} $output" >>"$1/outputs"
        ;;
    esac
done
# Nix's own root for a link would be left over when the link goes.
automatic=/nix/var/nix/gcroots/auto
# shellcheck disable=SC2012 # names are hashes
ls -l "$automatic" | sed -n "s|.* \([^ ]*\) -> $result\(-.*\)\{0,1\}\$|\1|p" | while read -r root; do rm -f "$automatic/$root"; done
# It was read when the unit began, and may hold secrets. The result may be read late, or never.
rm -f "$1/nix.conf"
# What it printed last may be more than its watcher has seen.
# shellcheck disable=SC2086 # the interpreter is words
[ "$(stat -c %s "$1/log" 2>/dev/null || echo 0)" -lt 1048576 ] || $interpreter "$1/bound" "$1" 0
# One that does not fit says nothing for ever; without any the build counts as killed.
printf '%s %s\n' "$SERVICE_RESULT" "${EXIT_STATUS-}" >"$1/result.new" && mv -f "$1/result.new" "$1/result"
echo ended >>"$1/events"
