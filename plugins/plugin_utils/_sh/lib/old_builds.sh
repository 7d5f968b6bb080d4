# What builds have left behind whose controllers were killed: whoever reads a build's result tidies up after it.
# needs: abandoned base
# shellcheck shell=sh

# drop_old_builds: of an hour ago and more, and whose units are gone. A controller that was lost comes back sooner; one that
# comes later builds again, which finds in the store what was built. Whoever calls it has a turn.
drop_old_builds() { drop_abandoned build 60; }

# tidy_builds: the same for who has no turn, and need not wait for one. Where there is nothing, no process is started.
tidy_builds() {
    set -- "$run_dir"/build-*
    [ ! -d "$1" ] || (exec 8<"$run_dir" && flock -n 8 && drop_old_builds 8<&-)
    return 0
}
