# The states that a deployment ends in.
# shellcheck shell=sh

# A deployment is open until its state is one of these.
final_states="committed until-reboot rolled-back rollback-failed commit-failed refused superseded interrupted"

is_final() { case " $final_states " in *" ${1:-none} "*) return 0 ;; *) return 1 ;; esac; }
