# What is wrong, for whoever decides what follows from it.
# sets: code complaint
# shellcheck shell=sh

# complain CODE TEXT: says so in $code and $complaint, and fails, as the function does then that calls it.
complain() {
    code=$1
    complaint=$2
    return 1
}
