# What both parts of a deployment's start need; trial.sh comes before this.
# needs: common trial
# shellcheck shell=sh

# no REASON MESSAGE: nothing will come of this toplevel.
no() {
    drop_all_roots
    refuse "$@"
}

others_at_work() {
    busy=$(switching_units)
    [ -z "$busy" ] || { answer busy_by "$busy" && refuse busy "is being switched by $busy"; }
    load_trial && [ "$trial_new" != "$new" ] && trial_under_way || return 0
    refuse busy "is being booted once with another system to try it, since $trial_started: $trial_new"
}
