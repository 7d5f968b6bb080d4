/* The supervisor: supervise(), lib/supervise.sh, and commit(), lib/commit.sh. Each of its calls is a step or two. */

#define DIE_UNLESS_OK if :: !ok -> goto ended :: else fi
/* ask_loader(), lib/boot_loader.sh, says another one than systemd-boot, or is_generation(), lib/commit.sh. */
#define NO_TRIAL (PROFILE_FIRST && (GRUB || !loader_readable))

proctype supervisor() provided (!hung) {
    bool ok = true, must_write = true, repairing = false;
    byte tries;
    mtype:system target = OLD;
    {
        atomic { supervisor_is = alive; put_state(checking); DIE_UNLESS_OK };
        atomic { open_json = true; roots = true };    /* open_durably(), lib/directory.sh */
        atomic { guard_up = true };                   /* start_guard(), lib/supervise.sh, and outlast_soft_reboot(), lib/soft_reboot.sh */

        /* try_live(), lib/supervise.sh */
        if
        :: boot_only
        :: else ->
            atomic { put_state(activating); DIE_UNLESS_OK };
            atomic {                                  /* nobody_else_has_switched(), lib/supervise.sh */
                if
                :: LOOK_EACH_CALL && LOOK_THEN_CALL && (LIVE_LOOKS_THEIRS || BOOT_LOOKS_THEIRS) -> goto ended
                :: else -> begin_call(test_new); DIE_UNLESS_OK
                fi
            };
            atomic {
                if
                :: LOOK_EACH_CALL && (LIVE_LOOKS_THEIRS || BOOT_LOOKS_THEIRS) -> goto ended
                :: else -> take_lock(); DIE_UNLESS_OK
                fi
            };
            atomic { make_live(NEW_LIVE) };
            atomic {
                locked_out = LOCKS_OUT; lock = false;
                if
                :: bad_mount -> enter_emergency(false)
                :: else
                fi
            };
            atomic { end_call(); DIE_UNLESS_OK };
            atomic { put_state(settling); DIE_UNLESS_OK };
            /* healthy(), lib/health.sh, still_reachable(), lib/ssh.sh: a firewall cannot be seen from inside. */
            atomic {
                if
                :: manager != running || !ssh -> goto ended
                :: else -> if
                    :: (OURS_BY_ACTS -> !MAY_COMMIT : live != NEW) -> goto ended
                    :: else
                    fi
                fi
            }
        fi;

        /* wait_for_confirmation(), lib/supervise.sh; in a boot-only deployment, where a test has turned into one: needs_reboot(),
           lib/reports_to_directory.sh. */
        if
        :: boot_only -> atomic { put_state(confirmed); ever_confirmed = true; DIE_UNLESS_OK }
        :: true ->
            atomic {
                if
                :: CAN_WRITE -> window = readable
                :: !CAN_WRITE && WRITE_CHECKED -> goto ended
                :: else -> window = unreadable
                fi
            };
            atomic { put_state(in_window); DIE_UNLESS_OK };
            if
            :: window == was_confirmed
            :: window == was_revoked -> goto ended
            :: atomic { window == readable -> window = was_expired }; goto ended
            :: atomic { UNREADABLE_EXPIRED && window == unreadable -> window = was_expired }; goto ended
            fi;
            atomic { put_state(confirmed); DIE_UNLESS_OK }
        fi;

        /* commit(), lib/commit.sh */
        atomic {
            if
            :: (OURS_BY_ACTS -> !MAY_COMMIT : live != NEW || profile != OLD) -> goto ended
            :: LATE_LOOK && unit_failed && !boot_only -> goto ended     /* still_healthy(), lib/health.sh */
            :: else
            fi;
            MUST(!unit_failed || boot_only, what_is_committed_is_well);
            if
            :: UNTIL_REBOOT -> write_line(until_reboot); goto not_kept
            :: else
            fi
        };
        atomic { open_confirmed = true };             /* mark_open(), lib/open_marks.sh */
        /* try_loader(), lib/commit.sh */
        if
        :: NO_TRIAL
        :: else ->
            atomic { put_state(commit_check); DIE_UNLESS_OK };
            atomic {
                if
                :: LOOK_EACH_CALL && !MAY_COMMIT -> goto ended
                :: else -> take_lock(); DIE_UNLESS_OK
                fi
            };
            atomic { write_loader(NEW); DIE_UNLESS_OK }
        fi;
        atomic { put_state(commit_profile); DIE_UNLESS_OK };
        atomic {
            if
            :: LOOK_EACH_CALL && LOOK_THEN_CALL && !MAY_COMMIT -> goto ended
            :: else -> begin_call(set_new); DIE_UNLESS_OK
            fi
        };
        atomic {
            if
            :: LOOK_EACH_CALL && !MAY_COMMIT -> goto ended
            :: else -> set_profile(NEW)
            fi
        };
        atomic {
            if
            :: profile != NEW -> goto ended
            :: else -> end_call(); DIE_UNLESS_OK
            fi
        };
        finish_commit();
        DIE_UNLESS_OK;
        close(committed);
        goto ended;
    not_kept:
        close(until_reboot);
    ended:
        skip
    } unless { kill_supervisor };
    /* systemd begins ExecStopPost, unless the whole host has gone down. */
    atomic {
        kill_supervisor = false; post_pending = (supervisor_is == alive); supervisor_is = gone;
        ok = true; tries = 0; target = OLD
    }
}
