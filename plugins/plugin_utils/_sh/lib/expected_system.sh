# What has to be the boot default before a deployment, where the operator has said that.
# inputs: expected_system
# needs: complain
# shellcheck shell=sh

# as_expected DEFAULT: complains where not.
as_expected() {
    [ -z "$expected_system" ] || [ "$1" = "$expected_system" ] ||
        complain other-previous "has ${1:-no system} as its boot default, and $expected_system was expected (deploy_flake_expected_system): somebody else has deployed meanwhile. Look at what they did, and expect that system, or leave the variable out"
}
