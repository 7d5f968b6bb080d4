# Whose the supervisor's unit is.
# needs: base
# shellcheck shell=sh

# holds_unit: whether deploy-flake.service is this deployment. Unknown (PID 1 does not answer) counts as yes: then nobody
# can have started another one.
holds_unit() {
    local its
    [ "${INVOCATION_ID-}" = "$invocation" ] && return 0
    its=$(sc show -p InvocationID --value "$unit" 2>/dev/null) || return 0
    [ "$its" = "$invocation" ]
}
