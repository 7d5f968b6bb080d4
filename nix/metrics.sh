# Part of deploy-flake: makes metrics of the deployments that this host has recorded, in the form that Prometheus' node exporter reads from
# files. A field of a record is "name": "value"; within a text each quote has a backslash before it, so nothing else looks like one.
# Its argument is the directory where the file belongs.
# shellcheck shell=sh

# Whatever bytes a record has.
export LC_ALL=C
records=/var/lib/deploy-flake/deployments.jsonl
directory=${1:?the directory for the metrics}
new=$directory/deploy_flake.prom.$$

# each NAME: the value of that field, of each record that has it; nothing that could be more than a word.
each() {
    sed -n 's/^.*[{ ]"'"$1"'": "\{0,1\}\([A-Za-z0-9:._-]*\)"\{0,1\}[,}].*$/\1/p'
}

# seconds TIME: since 1970.
seconds() {
    date -u -d "$1" +%s
}

# metric NAME KIND TEXT
metric() {
    printf '# HELP deploy_flake_%s %s\n# TYPE deploy_flake_%s %s\n' "$1" "$3" "$1" "$2"
}

# about_last PREFIX WORDS: of the record on standard input.
about_last() {
    read -r record || return 0
    started=$(printf '%s\n' "$record" | each started)
    ended=$(printf '%s\n' "$record" | each ended)
    [ -n "$started" ] && [ -n "$ended" ] || return 0
    started=$(seconds "$started") && ended=$(seconds "$ended") || return 0
    metric "$1_end_seconds" gauge "When the last $2 ended, in seconds since 1970."
    printf 'deploy_flake_%s_end_seconds %s\n' "$1" "$ended"
    metric "$1_duration_seconds" gauge "How long the last $2 took, from its start on the host."
    printf 'deploy_flake_%s_duration_seconds %s\n' "$1" "$((ended - started))"
}

metrics() {
    metric deployments_total counter 'Deployments that have ended, by how.'
    each outcome <"$records" | sort | uniq -c | while read -r number outcome; do
        printf 'deploy_flake_deployments_total{outcome="%s"} %s\n' "$outcome" "$number"
    done
    tail -n 1 "$records" | about_last last_deployment deployment
    # A power cut may leave bytes that are no text.
    grep -a '[{ ]"outcome": "committed"' "$records" | tail -n 1 | about_last last_commit 'deployment that was committed'
    outcome=$(tail -n 1 "$records" | each outcome)
    metric last_deployment_outcome gauge 'How the last deployment ended: 1, with the word for it.'
    [ -z "$outcome" ] || printf 'deploy_flake_last_deployment_outcome{outcome="%s"} 1\n' "$outcome"
}

main() {
    umask 022
    # One that was killed has left it.
    rm -f "$directory"/deploy_flake.prom.*
    mkdir -p "$directory" || exit 1
    trap 'rm -f "$new"' EXIT
    # Without a record the head alone: nothing was deployed yet.
    [ -e "$records" ] || records=/dev/null
    # The exporter reads whole files alone.
    metrics >"$new" && mv -f "$new" "$directory/deploy_flake.prom"
}

main
