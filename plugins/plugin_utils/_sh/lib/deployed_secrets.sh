# What a deployment does with secrets, where it has any: their own program does it, in the deployment's units.
# brings_secrets: whether some were sent for it.
# inputs: brings_secrets secrets_limit
# facts: interpreter
# needs: base complain manager process reports_to_directory staged_secrets
# shellcheck shell=sh

# with_secrets TASK SECONDS: of this deployment; complains where it did not work.
with_secrets() {
    local given
    [ "$brings_secrets" = yes ] || return 0
    given=$secrets_dir/$id
    # A system that wants them must not be called a success without.
    [ -e "$given/program" ] || {
        complain secrets "its secrets, which were sent to $given, are gone (was the host rebooted, or was that removed?); deploy again"
        return
    }
    # shellcheck disable=SC2086 # the interpreter may be two words
    limited "$2" $interpreter "$given/program" "$1" "$given" "$PATH" </dev/null && return
    [ ! -s "$given/failed" ] || grep -v -e ' ' "$given/failed" >"$dir/failed"
    read_line "$given/complaint"
    complain secrets "${line:-its secrets could not be dealt with in time: $1}"
}

# planned_paths LINES: of the change that is open; how those lines of its plan begin.
planned_paths() {
    [ ! -e "$var_dir/secrets.open/plan" ] || sed -n "s/^$1.*$(printf '\t')//p" "$var_dir/secrets.open/plan"
}

# change_of_secrets TASK [anybody]: of what is open, by the program that has begun it; nothing where there is none, or it is another deployment's.
change_of_secrets() {
    local failed open said task text whose
    said=$dir/secrets-said
    { printf '' >"$said"; } 2>/dev/null || said=/dev/null
    # It died before anything was begun.
    [ ! -d "$var_dir/secrets.open.new" ] || rm -rf "$var_dir/secrets.open.new"
    for open in "$var_dir/secrets.open" "$var_dir/secrets.over"; do
        [ -e "$open/program" ] || continue
        read_line "$open/id"
        whose=$line
        [ "${2-}" = anybody ] || [ "$whose" = "$id" ] || continue
        task=$1
        # Nothing can be restarted any more.
        [ "$task" != back ] || ! machine_stopping || task=back-files
        # With units, once the files are back.
        # shellcheck disable=SC2086
        limited "$((secrets_limit + 100))" $interpreter "$open/program" "$task" - "$PATH" </dev/null >"$said" && failed= || failed="they could not be put back or kept in time ($1)"
        # Also what somebody else has done meanwhile.
        text=$(if [ -s "$said" ]; then cat "$said"; else printf '%s' "$failed"; fi)
        # Who asks again and is told the same has noted that.
        [ -z "$text" ] || [ "$text" = "${secrets_noted-}" ] || note "secrets of deployment $whose: $text"
        secrets_noted=$text
        [ -z "$failed" ] || return 1
    done
}
