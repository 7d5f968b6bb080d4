# Part of deploy-flake: a system that was booted once, to see whether it comes up, reboots by itself unless it is made the boot
# default in time. Its record says which system that is, and how long it has.
# shellcheck shell=sh

record=/var/lib/deploy-flake/trial.json
began=/run/deploy-flake-trial

field() { sed -n "s/^\"$1\": \"\([^\"]*\)\",\{0,1\}\$/\1/p" "$record" 2>/dev/null; }

# No wall clock: it may be set meanwhile.
now() { read -r uptime _ </proc/uptime && echo "${uptime%.*}"; }

# Kept: it is the boot default. Not about us: another system runs, or the trial is over.
over() {
    [ "$(field state)" = armed ] && [ "$(field new)" = "$(readlink -f /run/booted-system)" ] || return 0
    [ "$(readlink -f /nix/var/nix/profiles/system)" = "$(field new)" ]
}

main() {
    # Started again, this unit goes on counting from where it was.
    [ -s "$began" ] || now >"$began"
    read -r first <"$began"
    limit=$(field host_limit)
    case $limit in
    '' | *[!0-9]*) exit 0 ;;
    esac
    while ! over; do
        if [ $(($(now) - first)) -ge "$limit" ]; then
            # A deployment that is in progress ends by itself, and may be what makes it the boot default.
            systemctl --quiet is-active deploy-flake.service || break
        fi
        sleep 1
    done
    if over; then
        rm -f "$began"
        exit 0
    fi
    echo "nobody has made $(field new) the boot default within $limit s: rebooting into $(field old)"
    sed -e 's/^"state": .*/"state": "failed",/' \
        -e "s/^\"why\": .*/\"why\": \"it was up, and nobody made it the boot default within $limit s, so it rebooted by itself\"/" \
        "$record" >"$record.new" && sync "$record.new" && mv -f "$record.new" "$record"
    systemctl reboot --no-block
    sleep 90
    systemctl reboot --force
    sleep 30
    systemctl reboot --force --force
}

main
