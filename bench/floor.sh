# The least that a deploy can be: the same work on the hosts by hand, over one shared ssh connection for each, all hosts at
# once. No supervisor, no rollback, no report, no limits; a host that fails ends with an error and stays as it is.
#
# floor.sh FLAKE HOSTS SSH_CONFIG DIRECTORY: HOSTS has a line "name password" for each host, "-" for no password of sudo.
# FLOOR_SSH is the ssh to use.
# shellcheck shell=sh
set -eu
flake=$1
hosts=$2
config=$3
directory=$4
ssh=${FLOOR_SSH:-ssh}

# Uncompressed and without times, so that the same files have the same name.
tar --create --file="$directory/flake.tar" --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner -C "$flake" .
key=$(sha256sum "$directory/flake.tar" | cut -c1-32)
link=/nix/var/nix/gcroots/floor-$key

# on NAME SCRIPT [FILE]: as the login user; standard input is the file.
on() { "$ssh" -F "$config" -o ControlPath="$directory/%n" "$1" "$2" <"${3:-/dev/null}"; }

# as_root NAME PASSWORD SCRIPT [FILE]: sudo takes the password from standard input, and the script the rest.
as_root() {
    {
        [ "$2" = - ] || printf '%s\n' "$2"
        cat "${4:-/dev/null}"
    } | "$ssh" -F "$config" -o ControlPath="$directory/%n" "$1" "sudo -S -p '' /bin/sh -c '$3'"
}

host() {
    # Does it have the flake, and by which hash?
    found=$(on "$1" "p=\$(readlink $link) && echo \$p \$(nix-hash --type sha256 --to-sri \$(nix-store --query --hash \$p)) || :")
    [ -n "$found" ] || found=$(as_root "$1" "$2" "
        t=\$(mktemp -d) && mkdir \$t/source && tar -x -C \$t/source && p=\$(nix-store --add-fixed --recursive sha256 \$t/source) &&
        ln -sfn \$p $link && rm -rf \$t && echo \$p \$(nix-hash --type sha256 --to-sri \$(nix-store --query --hash \$p))" "$directory/flake.tar")
    path=${found% *}
    # Build it, and look whether it runs and boots already.
    built=$(on "$1" "t=\$(nix --extra-experimental-features 'nix-command flakes' build --no-link --print-out-paths \
        'path:$path?narHash=${found#* }#nixosConfigurations.$1.config.system.build.toplevel') && echo \$t &&
        readlink -f /run/current-system && readlink -f /nix/var/nix/profiles/system")
    # shellcheck disable=SC2086 # three paths
    set -- "$1" "$2" $built
    [ "$3" != "$4" ] || [ "$3" != "$5" ] || return 0
    # Try it live under systemd, between two looks at the units.
    as_root "$1" "$2" "
        [ \"\$(systemctl is-system-running --wait)\" = running ] &&
        systemd-run --quiet --collect --wait --service-type=exec --unit=floor $3/bin/switch-to-configuration test &&
        [ -z \"\$(systemctl list-units --failed --plain --no-legend)\" ] && [ \"\$(readlink -f /run/current-system)\" = $3 ]"
    # A connection of its own shows that one can still log in; then it is made the boot default.
    {
        [ "$2" = - ] || printf '%s\n' "$2"
    } | "$ssh" -F "$config" -o ControlMaster=no -o ControlPath=none "$1" "sudo -S -p '' /bin/sh -c '
        nix-env -p /nix/var/nix/profiles/system --set $3 && $3/bin/switch-to-configuration boot && sync -f /nix/var/nix/profiles'"
}

failed=0
while read -r name password; do
    host "$name" "$password" >"$directory/$name.log" 2>&1 &
    pids="${pids-} $!:$name"
done <"$hosts"
for each in $pids; do
    wait "${each%%:*}" || {
        failed=1
        echo "${each#*:} failed: $(tail -n 3 "$directory/${each#*:}.log")" >&2
    }
done
exit "$failed"
