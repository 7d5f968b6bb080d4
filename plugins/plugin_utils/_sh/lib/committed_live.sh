# Whether what runs was confirmed, as the records of deployments say. Paths alone do not tell it: after a boot-only deployment a host runs
# neither what it has booted nor what it would boot, as after a test that nobody confirmed.
# needs: base profile
# shellcheck shell=sh

# kept_live SYSTEM: committed, if the last deployments that committed left it running, and one of them had made it live, or had found it live
# as the boot default. until-reboot, if one in this boot has made it live for that, and none has led away from it; where the boot default was
# moved since, or had never run, that waits for a reboot as beside any other system that was confirmed. What ran until a reboot that has come is
# over, and what had committed before it stands. Otherwise nothing. Those of secrets
# alone have decided nothing of it. Only root can read them.
kept_live() {
    [ -e "$var_dir/deployments.jsonl" ] || return 0
    read_line /proc/sys/kernel/random/boot_id
    # A text in a record has no quote without a backslash.
    recorded_lines | grep -F -e '"outcome": "committed"' -e '"outcome": "until-reboot"' | grep -v -F '"only_secrets": "yes"' | tail -n 50 | cut -b 1-65536 |
        awk -v wanted="$1" -v this_boot="$line" -v boots="$(boot_default)" '
        function value(name) {
            if (!match($0, "\"" name "\": \"[^\"]*\"")) return ""
            return substr($0, RSTART + length(name) + 5, RLENGTH - length(name) - 6)
        }
        {
            live = value("live")
            if (value("outcome") == "until-reboot" && value("boot_id") != this_boot) { if (live == wanted) kept = ""; next }
            if (live != wanted) kept = ""
            else if (value("outcome") == "until-reboot") kept = value("boot") == boots && value("boot_ran") == "yes" ? "until-reboot" : "committed"
            else if (live == value("to") || live == value("to_live") || live == value("from_boot")) kept = "committed"
        }
        END { print kept }'
}

committed_live() { [ "$(kept_live "$1")" = committed ]; }

runs_until_reboot() { [ "$(kept_live "$1")" = until-reboot ]; }
