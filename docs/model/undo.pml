/* The undo: undo(), lib/undo.sh. One at a time (flock), begun by ExecStopPost, the guard, or the next deployment's repair. */

#define MACHINE_STOPPING (manager == shutting_down || (manager == soft_rebooting && !SOFT_IS_NO_SHUTDOWN) || \
    (manager == emergency && !EMERGENCY_IS_NO_SHUTDOWN))                     /* machine_stopping() */
#define IN_COMMIT (phase == commit_check || phase == commit_profile || phase == commit_boot || phase == commit_verify || \
    phase == rolling_back)
#define THEIRS_KEEPS_ALL (LIVE_LOOKS_THEIRS || BOOT_LOOKS_THEIRS)
#define DIRECTORY_LEFT (state != nothing && !IS_FINAL(state) && (!in_vain || CAN_WRITE))
/* The next deployment, or system_info, comes over ssh: repair_others(), lib/repair.sh. */
#define NEXT_RUN_COMES (REACHABLE && !guard_up && !post_pending && supervisor_is == gone)

/* boot_back(), lib/commit.sh: put_profile_back(), then the loader. */
inline put_boot_side_back() {
    atomic {
        ok = true;
        if
        :: LOOK_EACH_CALL && BOOT_LOOKS_THEIRS -> boot_theirs = true
        :: profile != OLD && !(LOOK_EACH_CALL && BOOT_LOOKS_THEIRS) -> set_profile(OLD); our_profile = OLD; going_back = true
        :: else
        fi
    };
    atomic {
        if
        :: boot_theirs || (LOOK_EACH_CALL && BOOT_LOOKS_THEIRS) -> boot_theirs = true
        :: else -> take_lock()
        fi
    };
    if
    :: boot_theirs
    :: !boot_theirs && ok ->
        atomic { write_loader(OLD); boot_broken = ((!ok && loader != OLD) || !LOADER_NAMES(OLD)) }  /* boot_untouched() */
    :: !boot_theirs && !ok -> boot_broken = (loader != OLD)
    fi
}

/* After its last step a call of ours is closed, and what it made is noted. */
inline live_came_back() {
    our_live = OLD; call = no_call
}

/* The queue of jobs is empty, or a limit passes: where our own stop is a part of the queue, it never is. */
inline wait_for_jobs() {
    if
    :: !WAIT_FOR_JOBS || !jobs
    :: WAIT_FOR_JOBS && jobs && JOBS_CAN_END -> !jobs || manager != emergency
    :: WAIT_FOR_JOBS && jobs && !JOBS_CAN_END
    fi
}

/* verify_previous() and mend_units(), lib/undo.sh. From emergency and rescue the units that were active bring the rest back. */
inline verify_previous() {
    verified = (live == OLD);
    if
    :: verified && !jobs && (manager == running || manager == emergency) -> manager = running; ssh = true
    :: verified && jobs -> verified = false
    :: else
    fi;
    verified = verified && !(VERIFY_UNITS && locked_out)
}

/* repair_after_power_loss(), lib/repair.sh. */
inline repair_after_power_loss() {
    atomic {
        if
        :: DURABLE_CONFIRMED && !open_confirmed && profile == NEW -> write_line(superseded); outcome = superseded; goto write_end
        :: profile == OTHER -> write_line(superseded); outcome = superseded; goto write_end
        :: else
        fi;
        ok = (profile == NEW || (DURABLE_CONFIRMED && open_confirmed && loader == NEW));
        if
        :: ok && profile == OLD -> set_profile(NEW)
        :: else
        fi
    };
    if
    :: ok ->
        phase = commit_boot;
        finish_commit();
        if
        :: ok -> outcome = committed; goto write_end
        /* Confirmed, and the profile may be theirs: nothing is gained by going back. */
        :: !ok && DURABLE_CONFIRMED -> atomic { write_line(commit_failed); outcome = commit_failed; goto write_end }
        :: else
        fi
    :: else -> phase = rolling_back
    fi;
    our_profile = (phase == commit_boot -> NEW : OLD);
    put_boot_side_back();
    atomic {
        boot_theirs = boot_theirs || (LOOK_EACH_CALL && (BOOT_LOOKS_THEIRS || LIVE_LOOKS_THEIRS));
        if
        :: boot_theirs -> outcome = superseded
        :: else -> if
            :: ASK_LOADER -> outcome = (boot_broken || live != OLD -> commit_failed : interrupted)
            /* Today: where it went forward first, only the profile is asked. */
            :: else -> outcome = (boot_broken && phase != commit_boot -> commit_failed : interrupted)
            fi
        fi;
        write_line(outcome)
    }
}

proctype undoer() {
    bool must_write = false, repairing = false, ok = true, boot_broken, boot_theirs, live_theirs, verified;
    byte tries, rung;
    mtype:state phase = nothing, outcome = nothing;
    mtype:system target = OLD;
end_idle:
    atomic {
        if
        :: supervisor_is == gone && post_pending && DIRECTORY_LEFT -> post_pending = false   /* ExecStopPost */
        :: supervisor_is == gone && !post_pending && guard_up && DIRECTORY_LEFT              /* become_the_undo(), lib/guard.sh */
        :: NEXT_RUN_COMES && DIRECTORY_LEFT                                                  /* repair_one() */
        :: NEXT_RUN_COMES && state == nothing && open_json -> repairing = true               /* repair_after_power_loss() */
        fi;
        undo_running = true; in_vain = false
    };
    {
        if
        :: RECORD_DECIDES && line != nothing -> outcome = line; goto write_end
        :: repairing && !(RECORD_DECIDES && line != nothing) -> goto power_lost
        :: else
        fi;
        atomic {
            phase = (state == rolling_back -> phase_file : state);
            lock = false;                                                    /* kill_others() */
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
            if
            :: call == test_new && CAN_WRITE ->
                our_live = (OPEN_CALL_MADE_LIVE -> live : our_live); live_made_again = live_made_again && live != our_live;
                call = no_call
            :: call == set_new && CAN_WRITE ->
                our_profile = (profile == NEW -> NEW : our_profile); profile_made_again = profile_made_again && profile != NEW;
                call = no_call
            :: else
            fi;
            if
            :: manager == soft_rebooting && SOFT_IS_NO_SHUTDOWN -> goto leave
            :: !MACHINE_STOPPING && !TWO_VERDICTS && THEIRS_KEEPS_ALL ->
                write_line(superseded); outcome = superseded; goto write_end
            :: SAME_DEFAULT_KEEPS_LIVE && BOOT_LOOKS_THEIRS && profile == NEW ->
                write_line(superseded); outcome = superseded; goto write_end
            :: else
            fi
        };

        /* go_forward() */
        if
        :: ((phase == commit_profile && profile == NEW) || phase == commit_boot || phase == commit_verify) && !back &&
                !(TWO_VERDICTS && (RUNS_ANOTHER || BOOT_LOOKS_THEIRS)) ->
            finish_commit();
            if
            :: ok -> outcome = committed; goto write_end
            :: else -> back = CAN_WRITE
            fi
        :: else
        fi;

        /* boot_side(), and boot_back() of lib/commit.sh */
        if
        :: IN_COMMIT -> put_boot_side_back()
        :: else
        fi;

        /* The live side: undo_fully(), or nothing at a shutdown. */
        atomic {
            if
            :: manager == soft_rebooting && SOFT_IS_NO_SHUTDOWN -> goto leave
            :: MACHINE_STOPPING -> goto at_shutdown
            :: TWO_VERDICTS && (phase == confirmed || IN_COMMIT) && BOOT_LOOKS_THEIRS -> goto judge
            :: else
            fi
        };
    ladder:
        do
        :: rung == 2 -> break
        :: else ->
            rung++;
            wait_for_jobs();
            atomic {
                if
                :: MACHINE_STOPPING || manager == soft_rebooting -> break
                :: LOOK_EACH_CALL && LIVE_LOOKS_THEIRS -> live_theirs = true; break
                :: else -> ok = true; if :: rung == 1 -> take_lock() :: else -> ok = (hand_broken == false) fi
                fi
            };
            if
            :: !ok
            :: ok && rung == 1 ->                                            /* rung_test(), rung_restart_bus() */
                atomic { make_live(OLD) };
                atomic { locked_out = false; lock = false; live_came_back() }
            :: ok && rung == 2 ->                                            /* rung_by_hand() */
                atomic { make_live(OLD); locked_out = (locked_out && !(STOP_NEW_UNITS && !cannot_stop)); live_came_back() }
            fi;
            wait_for_jobs();
            atomic {
                verify_previous();
                if
                :: verified -> goto judge
                :: !verified && WAIT_FOR_JOBS && jobs && JOBS_CAN_END -> rung = 0    /* a start was refused: again */
                :: else
                fi
            }
        od;
        if
        :: MACHINE_STOPPING -> goto at_shutdown
        :: manager == soft_rebooting -> goto leave
        :: live_theirs -> goto judge
        :: else
        fi;

        /* rung_reboot() */
        if
        :: LAST_RESORT_AUTO && !NEVER_REBOOT && !boot_broken && profile == OLD && loader == OLD ->
            if
            :: REBOOT_THEN_FINISH ->
                atomic { if :: manager != soft_rebooting -> manager = shutting_down :: else -> goto leave fi };
                atomic { write_line(rollback_failed); outcome = rollback_failed; goto write_end }
            :: else ->
                atomic { write_line(rollback_failed); outcome = rollback_failed };
                finish(rollback_failed);
                atomic { manager = shutting_down; goto leave }
            fi
        :: else
        fi;

    judge: atomic {
            /* The last look and the line are one step: nobody can close the gap between them. */
            live_theirs = live_theirs || (LOOK_EACH_CALL && LIVE_LOOKS_THEIRS);
            boot_theirs = boot_theirs || ((LOOK_EACH_CALL || TWO_VERDICTS) && BOOT_LOOKS_THEIRS);
            if
            :: LOOK_EACH_CALL && verified && !live_theirs ->
                verify_previous();
                if
                :: !verified -> rung = 0; goto ladder
                :: else
                fi
            :: else
            fi;
            if
            :: live_theirs || (boot_theirs && (verified || phase == confirmed || IN_COMMIT)) -> outcome = superseded
            :: else -> if
                :: boot_broken -> outcome = commit_failed
                :: else -> outcome = (verified -> rolled_back : rollback_failed)
                fi
            fi;
            write_line(outcome);
            goto write_end
        };

    at_shutdown: atomic {                                                    /* undo_at_shutdown() */
            boot_theirs = boot_theirs || (LOOK_EACH_CALL && BOOT_LOOKS_THEIRS);
            outcome = (boot_theirs -> superseded : (boot_broken -> commit_failed : interrupted));
            write_line(outcome);
            goto write_end
        };

    power_lost:
        repair_after_power_loss();

    write_end:
        finish(outcome);
    leave:
        skip
    } unless { kill_undo };
    atomic {
        kill_undo = false; undo_running = false;
        ok = true; boot_broken = false; boot_theirs = false; live_theirs = false; verified = false; repairing = false;
        tries = 0; rung = 0; phase = nothing; outcome = nothing; target = OLD;
        goto end_idle
    }
}
