# What forbids that a deployment begins.
# needs: base switching_units
# shellcheck shell=sh

# refuse_if_busy: what switches the host.
refuse_if_busy() {
    local busy
    busy=$(switching_units)
    [ -z "$busy" ] || refuse busy "is being switched by $busy"
}
