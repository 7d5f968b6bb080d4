# Writing the record of a trial.
# needs: base json trial
# shellcheck shell=sh

# note_trial STATE [WHY]: whole or not at all.
note_trial() {
    trial_state=$1
    trial_fields "${2-}" >"$trial_file.new" && sync -f "$trial_file.new" && mv -f "$trial_file.new" "$trial_file" && sync -f "$var_dir"
}

# trial_fields WHY
trial_fields() {
    local name
    printf '{\n' || return 1
    for name in id state new old generation made loader entry boot_id started reboot_until until host_limit; do
        eval "json_field $name \"\$trial_$name\"" && printf ',\n' || return 1
    done
    json_field why "$1" && printf '\n}\n'
}
