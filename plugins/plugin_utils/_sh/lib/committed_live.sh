# Whether what runs was confirmed, as the records of deployments say. Paths alone do not tell it: after a boot-only deployment a host runs
# neither what it has booted nor what it would boot, as after a test that nobody confirmed.
# needs: base
# shellcheck shell=sh

# committed_live SYSTEM: whether the last deployments that committed left it running, and one of them had made it live, or had found it live
# as the boot default. Those of secrets alone have decided nothing of it. Only root can read them.
committed_live() {
    [ -e "$var_dir/deployments.jsonl" ] || return 1
    # A text in a record has no quote without a backslash.
    recorded_lines | grep -F '"outcome": "committed"' | grep -v -F '"only_secrets": "yes"' | tail -n 50 | cut -b 1-65536 | awk -v wanted="$1" '
        function value(name) {
            if (!match($0, "\"" name "\": \"[^\"]*\"")) return ""
            return substr($0, RSTART + length(name) + 5, RLENGTH - length(name) - 6)
        }
        {
            live = value("live")
            if (live != wanted) confirmed = 0
            else if (live == value("to") || live == value("to_live") || live == value("from_boot")) confirmed = 1
        }
        END { exit confirmed ? 0 : 1 }'
}
