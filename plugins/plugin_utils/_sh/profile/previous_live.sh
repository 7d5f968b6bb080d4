# Whether the generation that ran is live again.
# facts: previous_live
# needs: base complain live
# shellcheck shell=sh

previous_is_live() { [ "$(live_system)" = "$previous_live" ] || complain not-live "the previous generation was not activated again"; }
