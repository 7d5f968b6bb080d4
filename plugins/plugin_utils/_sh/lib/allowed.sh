# What the operator allows although it would be refused.
# shellcheck shell=sh

allowed() { case " $allow " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
