# What the profile has to name before a deployment, where the operator has said that.
# inputs: expected_system
# needs: complain
# shellcheck shell=sh

# as_expected GENERATION: complains where not.
as_expected() {
    [ -z "$expected_system" ] || [ "$1" = "$expected_system" ] ||
        complain other-previous "has ${1:-nothing} in the profile, and $expected_system was expected (expected_generation): somebody else has deployed meanwhile. Look at what they did, and expect that generation, or leave it out"
}
