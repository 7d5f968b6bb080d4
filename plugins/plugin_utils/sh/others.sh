# What both parts of a deployment's start need.
# shellcheck shell=sh

# no REASON MESSAGE: nothing will come of this toplevel.
no() {
    drop_all_roots
    refuse "$@"
}

others_at_work() {
    busy=$(switching_units)
    [ -z "$busy" ] || { answer busy_by "$busy" && refuse busy "is being switched by $busy"; }
}
