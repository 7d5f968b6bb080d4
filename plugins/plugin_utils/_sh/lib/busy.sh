# What forbids that a deployment begins.
# needs: base units trial
# shellcheck shell=sh

others_at_work() {
    local busy
    busy=$(switching_units)
    [ -z "$busy" ] || refuse busy "is being switched by $busy"
    load_trial && [ "$trial_new" != "$new" ] && trial_under_way || return 0
    refuse busy "is being booted once with another system to try it, since $trial_started: $trial_new"
}
