# What forbids that a deployment begins.
# needs: base switching_units trial
# shellcheck shell=sh

# refuse_if_busy: what switches the host, or is about to.
refuse_if_busy() {
    local busy
    busy=$(switching_units)
    [ -z "$busy" ] || refuse busy "is being switched by $busy"
    load_trial && [ "$trial_new" != "$new" ] && trial_in_progress || return 0
    refuse busy "is being booted once with another system to try it, since $trial_started: $trial_new"
}
