# Whether the system that ran is live again.
# facts: previous_live
# needs: base complain live
# shellcheck shell=sh

# previous_is_live: while `activate` hangs, /etc is new and current-system still old; so each by itself. Complains of what is not.
previous_is_live() {
    [ "$(live_system)" = "$previous_live" ] || { complain not-live "/run/current-system is another"; return; }
    has_previous_etc || complain not-live "/etc is another system's"
}

has_previous_etc() { [ "$(leads_to /etc/static)" = "$(leads_to "$previous_live/etc")" ]; }
