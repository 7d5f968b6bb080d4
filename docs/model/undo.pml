/* The undo: undo(), lib/undo.sh. One at a time (flock), begun by ExecStopPost, the guard, or the next deployment's repair. */

#define MACHINE_STOPPING (manager == shutting_down || manager == soft_rebooting || \
    (manager == emergency && !EMERGENCY_IS_NO_SHUTDOWN))                     /* machine_stopping(), lib/manager.sh */
#define SOFT_REBOOT_BEGINS (manager == soft_rebooting && SOFT_IS_NO_SHUTDOWN)  /* soft_reboot_begins(), lib/manager.sh */
#define IN_COMMIT (phase == commit_check || phase == commit_profile || phase == commit_boot || phase == commit_verify)
#define WAS_CONFIRMED (phase == confirmed || IN_COMMIT)                      /* was_confirmed(), lib/undo.sh */
#define PROFILE_MOVED ((phase == commit_profile && profile == NEW && !BOOT_LOOKS_THEIRS) || \
    ((phase == commit_boot || phase == commit_verify) && (!LOOK_FOR_NEW || profile == NEW)))   /* profile_moved(), lib/undo.sh */
#define THEIRS_KEEPS_ALL (LIVE_LOOKS_THEIRS || BOOT_LOOKS_THEIRS)
/* What is looked at: a unit of both goes on in the same run, and nothing tells what it holds but that it could not be reloaded. */
#define SEEN_LOCKED_OUT (locked_out && (!filters || RELOAD_UNITS))
/* way_in(), lib/ways_back.sh */
#define WAY_IN (ssh && !SEEN_LOCKED_OUT)
#define DIRECTORY_LEFT (state != nothing && !IS_FINAL(state) && (!in_vain || CAN_WRITE))
/* The next deployment comes over ssh: repair_others(), lib/repair.sh. */
#define NEXT_RUN_COMES (REACHABLE && !guard_up && !post_pending && supervisor_is == gone)

/* wait_for_jobs(), lib/manager.sh: until the queue is empty, or a limit passes: where our own stop is a part of it, it never is. */
inline wait_for_jobs() {
    if
    :: !WAIT_FOR_JOBS || !jobs
    :: WAIT_FOR_JOBS && jobs && JOBS_CAN_END -> !jobs || manager != emergency
    :: WAIT_FOR_JOBS && jobs && !JOBS_CAN_END
    fi
}

/* stop_new_units(), lib/ways_back.sh */
#define NEW_UNITS_STAY (filters || jobs || cannot_stop || !STOP_NEW_UNITS)

/* leave_emergency(), lib/ways_back.sh: nothing can be started while something is still being stopped. */
inline leave_emergency() {
    if
    :: EMERGENCY_IS_NO_SHUTDOWN && manager == emergency ->
        locked_out = locked_out && NEW_UNITS_STAY;
        if
        :: !hand_broken -> make_live(OLD)
        :: else
        fi;
        if
        :: !jobs && !(LIVE_IS_NEW && bad_mount) -> manager = running; ssh = true; locked_out = locked_out || (LIVE_IS_NEW && LOCKS_OUT)
        :: else
        fi
    :: else
    fi
}

/* reload_units(), lib/ways_back.sh: by the previous system's own commands. A switch that sees what differs has done it. */
inline reload_units() {
    locked_out = locked_out && !(filters && live == OLD && ((RELOAD_UNITS && !jobs && !cannot_stop) || sees))
}

/* verify_previous() and mend_units(), lib/verify.sh. In rescue and emergency the host has not come up. */
inline verify_previous() {
    verified = (live == OLD && manager != emergency && !jobs && !(VERIFY_UNITS && SEEN_LOCKED_OUT));
    ssh = ssh || (verified && manager == running)
}

/* has_started_new(), lib/power_loss.sh */
#define HAS_STARTED_NEW (loader_readable -> loader == NEW : (BOOTED_TELLS && LIVE_IS_NEW))

/* repair_after_power_loss(), lib/repair.sh. What is found is noted as ours: note_links(), lib/whose.sh. */
inline repair_after_power_loss() {
    atomic {
        our_profile = profile; profile_made_again = false; boot = kept;
        /* forward_after_power_loss(), lib/power_loss.sh */
        ok = (DURABLE_CONFIRMED -> open_confirmed && (profile == NEW || (profile == OLD && HAS_STARTED_NEW)) : profile == NEW);
        if
        :: !ok && profile != OLD -> write_line(superseded); outcome = superseded; goto write_end
        :: ok && profile == OLD -> set_profile(NEW); our_profile = NEW
        :: else
        fi
    };
    if
    :: ok ->
        finish_commit();
        if
        :: ok -> outcome = committed; goto write_end
        /* Confirmed, and the profile may be theirs: nothing is gained by going back. */
        :: !ok && DURABLE_CONFIRMED -> atomic { write_line(commit_failed); outcome = commit_failed; goto write_end }
        :: else -> phase = commit_boot
        fi
    :: else
    fi;
    boot_back();
    atomic {
        if
        :: boot == theirs || (LOOK_EACH_CALL && BOOT_LOOKS_THEIRS) -> outcome = superseded
        :: else -> if
            :: ASK_LOADER -> outcome = (boot == broken || (BOOTED_TELLS && live != OLD) -> commit_failed : interrupted)  /* runs_new(), lib/power_loss.sh */
            /* The first protocol asked the profile alone, where it went forward first. */
            :: else -> outcome = (boot == broken && phase != commit_boot -> commit_failed : interrupted)
            fi
        fi;
        write_line(outcome)
    }
}

proctype undoer() {
    bool must_write = false, repairing = false, ok = true, verified, sees;
    byte tries, way, rounds;
    mtype:side boot = kept;
    mtype:state phase = nothing, outcome = nothing;
    mtype:system target = OLD;
end_idle:
    atomic {
        if
        :: supervisor_is == gone && post_pending && DIRECTORY_LEFT -> post_pending = false   /* ExecStopPost */
        :: supervisor_is == gone && !post_pending && guard_up && DIRECTORY_LEFT              /* become_the_undo(), lib/guard.sh */
        :: NEXT_RUN_COMES && DIRECTORY_LEFT                                                  /* repair_one(), lib/repair.sh */
        :: NEXT_RUN_COMES && state == nothing && open_json -> repairing = true               /* repair_after_power_loss(), lib/repair.sh */
        fi;
        undo_running = true; in_vain = false
    };
    {
        /* recorded_outcome(), lib/recorded_outcome.sh */
        if
        :: RECORD_DECIDES && line != nothing -> outcome = line; goto write_end
        :: repairing && !(RECORD_DECIDES && line != nothing) -> goto power_lost
        :: else
        fi;
        /* find_phase(), lib/undo.sh, and kill_others(), lib/process.sh */
        atomic {
            phase = (state == rolling_back -> phase_file : state);
            lock = false;
            if
            :: state != rolling_back && CAN_WRITE -> phase_file = state
            :: else
            fi;
            if
            :: phase == checking || phase == nothing -> write_line(refused); outcome = refused; goto write_end
            :: else
            fi
        };
        atomic {
            if
            :: CAN_WRITE && !(WRITE_CHECKED && phase_file != phase) -> state = rolling_back
            :: else
            fi
        };

        /* Whose is it? What a call that was cut off has made is ours; from now on nothing more is. */
        atomic {
            end_call();
            if
            :: SOFT_REBOOT_BEGINS -> goto leave
            :: !MACHINE_STOPPING && !TWO_VERDICTS && THEIRS_KEEPS_ALL ->
                write_line(superseded); outcome = superseded; goto write_end
            :: SAME_DEFAULT_KEEPS_LIVE && BOOT_LOOKS_THEIRS && profile == NEW ->
                write_line(superseded); outcome = superseded; goto write_end
            :: else
            fi
        };

        /* go_forward(), lib/undo.sh */
        if
        :: PROFILE_MOVED && !back && (!TWO_VERDICTS || MAY_COMMIT) ->
            finish_commit();
            if
            :: ok -> outcome = committed; goto write_end
            :: else -> back = CAN_WRITE
            fi
        :: else
        fi;

        /* boot_side_back(), lib/undo.sh */
        atomic {
            if
            :: (LOOK_EACH_CALL || TWO_VERDICTS) && BOOT_LOOKS_THEIRS -> boot = theirs
            :: else
            fi
        };
        if
        :: IN_COMMIT && boot == kept -> boot_back()
        :: else
        fi;

        /* undo_live(), lib/undo.sh, or nothing at a shutdown. */
        atomic {
            if
            :: SOFT_REBOOT_BEGINS -> goto leave
            :: MACHINE_STOPPING && !SOFT_REBOOT_BEGINS -> goto at_shutdown
            :: else
            fi;
            if
            :: (LOOK_EACH_CALL || TWO_VERDICTS) && IN_COMMIT && BOOT_LOOKS_THEIRS -> boot = theirs
            :: else
            fi;
            if
            :: boot_only -> verified = true; goto judge
            :: !boot_only && TWO_VERDICTS && WAS_CONFIRMED && !way_begun && boot == theirs -> write_line(superseded); outcome = superseded; goto write_end
            :: else
            fi
        };
        /* go_back(), try_ways(), lib/ways_back.sh */
    ways:
        do
        :: atomic { way == 2 -> ways_over = true; break }
        :: else ->
            way++;
            wait_for_jobs();
            atomic {
                if
                :: LOOK_EACH_CALL && LIVE_LOOKS_THEIRS -> ways_over = true; goto judge
                :: else -> way_begun = CAN_WRITE || way_begun; leave_emergency(); sees = (way == 1 && live != OLD)
                fi
            };
            if
            :: way == 1 ->                                                   /* way_test(), way_restart_bus(), lib/ways_back.sh */
                atomic {
                    ok = true;
                    if
                    :: LOOK_EACH_CALL && LIVE_LOOKS_THEIRS -> ok = false
                    :: else -> take_lock()
                    fi
                };
                if
                :: ok ->
                    atomic { make_live(OLD) };
                    atomic { locked_out = locked_out && filters; lock = false; call = no_call }
                :: else -> sees = false
                fi
            :: way == 2 && !hand_broken ->                                   /* way_by_hand(), lib/ways_back.sh */
                atomic { locked_out = locked_out && NEW_UNITS_STAY };
                atomic {
                    if
                    :: LOOK_EACH_CALL && LIVE_LOOKS_THEIRS
                    :: else -> make_live(OLD); call = no_call
                    fi
                }
            :: else
            fi;
            wait_for_jobs();
            atomic {
                reload_units(); verify_previous();
                if
                :: verified -> ways_over = true; goto judge
                :: !verified && SOFT_REBOOT_BEGINS -> goto leave
                :: !verified && MACHINE_STOPPING && !SOFT_REBOOT_BEGINS -> goto at_shutdown
                /* A start that was refused is not yet a no. */
                :: !verified && WAIT_FOR_JOBS && manager == emergency && EMERGENCY_IS_NO_SHUTDOWN && rounds < 3 -> rounds++; way = 0
                :: else
                fi
            }
        od;

        /* reboot_as_last_resort(), lib/ways_back.sh */
        if
        :: LAST_RESORT_AUTO && !NEVER_REBOOT && boot == kept && !WAY_IN && LOADER_NAMES(OLD) && !LIVE_LOOKS_THEIRS ->
            if
            :: REBOOT_THEN_FINISH ->
                atomic { if :: manager != soft_rebooting -> manager = shutting_down :: else -> goto leave fi }
            :: else ->
                atomic { write_line(rollback_failed); outcome = rollback_failed };
                close(rollback_failed);
                atomic { manager = shutting_down; goto leave }
            fi
        :: else
        fi;

    judge: atomic {
            /* The last look and the line are one step: nobody can close the gap between them. */
            if
            :: (LOOK_EACH_CALL || TWO_VERDICTS) && BOOT_LOOKS_THEIRS -> boot = theirs
            :: else
            fi;
            if
            :: !boot_only && LOOK_EACH_CALL && LIVE_LOOKS_THEIRS -> outcome = superseded
            :: else -> if
                :: boot == broken -> outcome = commit_failed
                :: else -> outcome = (!verified -> rollback_failed : (boot == theirs -> superseded : rolled_back))
                fi
            fi;
            write_line(outcome);
            goto write_end
        };

    at_shutdown: atomic {                                                    /* end_at_shutdown(), lib/undo.sh */
            if
            :: LOOK_EACH_CALL && BOOT_LOOKS_THEIRS -> boot = theirs
            :: else
            fi;
            outcome = (boot == theirs -> superseded : (boot == broken -> commit_failed : interrupted));
            write_line(outcome);
            goto write_end
        };

    power_lost:
        repair_after_power_loss();

    write_end:
        close(outcome);
    leave:
        skip
    } unless { kill_undo };
    atomic {
        kill_undo = false; undo_running = false; ways_over = false;
        ok = true; boot = kept; verified = false; sees = false; repairing = false;
        tries = 0; way = 0; rounds = 0; phase = nothing; outcome = nothing; target = OLD;
        goto end_idle
    }
}
