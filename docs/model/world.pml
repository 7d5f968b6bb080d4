/* Everybody else: the controller, a third party, the manager and the power, what breaks, and what comes later. */

/* confirm and revoke, over a fresh connection: still_ours(), lib/still_ours.sh, decide(), lib/decide.sh. A controller that died does neither. */
#define COMES_IN (NOBODY_IS_DYING && REACHABLE && (window == readable || window == unreadable))
proctype controller() {
end_controller:
    do
    :: atomic { COMES_IN && (!CONFIRM_LOOKS || MAY_COMMIT) -> window = was_confirmed; ever_confirmed = LIVE_IS_NEW || boot_only }
    :: atomic { COMES_IN -> window = was_revoked }
    :: atomic { FAULT(LINK_CUT) && state == activating && !told_previous ->  /* the report of a run */
            faults--; told_previous = !LOST_IS_UNKNOWN;
            MUST(!told_previous || (IS_FINAL(state) && live == OLD), report_is_true)
        }
    od
}

/* An admin, nixos-upgrade, another tool: by switch-to-configuration, which takes the lock. Our own call that is under way and was
   about to make the very same cannot be told from theirs: that counts as ours. */
#define THEY_CAN (!lock && !foreign_lock && manager == running && state != checking && !(state == nothing && !open_json))
inline choose_system(not_new, not_old) {
    if
    :: s = OTHER
    :: !not_new -> s = NEW
    :: !not_old -> s = OLD
    fi
}
inline they_make_live() {
    live = (s == NEW -> NEW_LIVE : s); locked_out = (s == NEW && LOCKS_OUT); ssh = true;
    live_made_again = !(call == test_new && s == NEW); live_is_theirs = live_made_again && s != OLD;
    live_is_their_doing = (s != OLD); they_acted = true
}
inline they_make_default() {
    profile_made_again = !(call == set_new && s == NEW);
    /* Back to OLD: theirs where it undid ours. After a power loss that looks like a way back of ours that was cut off. */
    boot_is_theirs = profile_made_again && (s != OLD || (we_set && !after_boot)); we_set = we_set && !profile_made_again;
    profile = s; loader = s; they_acted = true
}
#define LIVE_IS_OLD (live == OLD)
#define BOOT_IS_OLD (profile == OLD && loader == OLD)
proctype third_party() {
    mtype:system s = OLD;
end_third:
    do
    :: atomic { FAULT(THIRD_LIVE) && THEY_CAN -> faults--; choose_system(bad_mount, LIVE_IS_OLD); they_make_live(); s = OLD }
    :: atomic { FAULT(THIRD_BOOT) && THEY_CAN && installer == works ->
            faults--; choose_system(false, BOOT_IS_OLD); they_make_default(); s = OLD
        }
    :: atomic { FAULT(THIRD_LIVE && THIRD_BOOT) && THEY_CAN && installer == works ->
            faults--; choose_system(bad_mount, LIVE_IS_OLD || BOOT_IS_OLD); they_make_default(); they_make_live(); s = OLD
        }
    od
}

/* systemd and the power. */
inline stop_units() {
    guard_up = false; jobs = false;
    if
    :: undo_running -> kill_undo = true  /* it was the guard's */
    :: true
    fi;
    end_supervisor()
}
proctype machine() {
end_machine:
    do
    :: atomic { NOBODY_IS_DYING && jobs && JOBS_CAN_END -> jobs = false; own_stop = false }
    :: atomic { FAULT(RESCUE) && manager == running && state != checking && state != nothing ->
            faults--; enter_emergency(true); admin_rescue = true; late_rescue = ways_over
        }
    :: atomic { FAULT(SHUTDOWN) && manager == running -> faults--; manager = shutting_down; stop_units() }
    :: atomic { FAULT(SOFT_REBOOT) && manager == running -> faults--; manager = soft_rebooting; stop_units() }
    :: atomic { FAULT(POWER) -> faults--; boot_host() }
    :: atomic { NOBODY_IS_DYING && manager == shutting_down -> boot_host() }
    :: atomic { NOBODY_IS_DYING && manager == soft_rebooting -> soft_reboot_host() }
    /* The deadline of guard(), lib/guard.sh: behind all limits, so only a supervisor that hangs may need it. */
    :: atomic { NOBODY_IS_DYING && guard_up && hung -> end_supervisor() }
    :: atomic { NOBODY_IS_DYING && guard_up && supervisor_is == alive && window == unreadable && !UNREADABLE_EXPIRED ->
            MUST(false, window_expires_in_time); end_supervisor()
        }
    od
}

proctype breakage() {
end_breakage:
    do
    :: atomic { FAULT(KILL) && supervisor_is == alive -> faults--; end_supervisor() }
    :: atomic { KILL && faults > 0 && undo_running && NOBODY_IS_DYING -> faults--; kill_undo = true }
    /* A later one, before it has repaired this one: it ends as refused, close(), lib/record.sh. */
    :: atomic { KILL && faults > 0 && !MARKS_ARE_OWN && NEXT_RUN_COMES && !undo_running && state == nothing && open_confirmed ->
            faults--; open_confirmed = false
        }
    :: atomic { FAULT(HANG) && supervisor_is == alive && guard_up && !hung -> faults--; hung = true }
    :: atomic { FAULT(RUN_FULL && !OWN_STORAGE) && !run_full -> faults--; run_full = true }
    :: atomic { NOBODY_IS_DYING && run_full && RUN_FULL != 2 -> run_full = false }
    :: atomic { FAULT(OWN_FULL) && !own_full -> faults--; own_full = true }
    :: atomic { NOBODY_IS_DYING && own_full -> own_full = false }
    :: atomic { FAULT(DAMAGED) && window == readable -> faults--; window = unreadable }
    :: atomic { FAULT(LOCK_HELD) && !lock && !foreign_lock -> faults--; foreign_lock = true }
    :: atomic { FAULT(HAND_BROKEN) && !hand_broken && !cannot_stop ->
            faults--; if :: HAND_BROKEN != 2 -> hand_broken = true :: HAND_BROKEN != 1 -> cannot_stop = true fi
        }
    :: atomic { FAULT(INSTALLER) && installer == works ->
            faults--; if :: INSTALLER != 2 -> installer = idle :: INSTALLER != 1 -> installer = fails fi
        }
    :: atomic { FAULT(UNREADABLE_LOADER) && loader_readable && (state == checking || state == nothing) ->
            faults--; loader_readable = false
        }
    :: atomic { FAULT(LATE_FAILURE) && state == in_window && window != absent && !unit_failed -> faults--; unit_failed = true }
    od
}

/* Later deployments, and garbage collection. */
#define OVER (IS_FINAL(state) && !undo_running && line != nothing)
proctype later() {
    bool asked;
end_later:
    do
    /* One that is refused: clean_up(), lib/record.sh. */
    :: atomic { LATER && OVER && roots && !KEEP_ROOTS -> roots = false }
    :: atomic { LATER && OVER && !new_gone && !roots && profile != NEW && !LIVE_IS_NEW -> new_gone = true }
    /* One of what runs and what the profile names: is_unchanged(), lib/system.sh. */
    :: atomic { LATER && OVER && !asked && manager == running && live == OLD && profile == OLD && LOADER_NAMES(OLD) &&
                KNOWS_LOADER && loader != OLD ->
            asked = true; MUST(false, unchanged_is_true)
        }
    od
}
