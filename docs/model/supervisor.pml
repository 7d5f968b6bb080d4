/* The supervisor: supervise(), lib/supervise.sh, and commit(), lib/commit.sh. Each of its calls is a step or two. */

#define DIE_UNLESS_OK if :: !ok -> goto ended :: else fi

proctype supervisor() provided (!hung) {
    bool ok = true, must_write = true, repairing = false;
    byte tries;
    mtype:system target = OLD;
    {
        atomic { supervisor_is = alive; put_state(checking, no_call); DIE_UNLESS_OK };
        atomic { open_json = true; roots = true };    /* open_durably(), lib/directory.sh */
        atomic { guard_up = true };                   /* start_guard() */

        /* try_live() */
        atomic {
            if
            :: LOOK_EACH_CALL && (live != OLD || profile != OLD) -> goto ended
            :: else -> put_state(activating, test_new); DIE_UNLESS_OK
            fi
        };
        atomic {
            if
            :: LOOK_EACH_CALL && (live != OLD || profile != OLD) -> goto ended
            :: else -> take_lock(); DIE_UNLESS_OK
            fi
        };
        atomic { make_live(NEW_LIVE) };
        atomic {
            locked_out = firewall; lock = false;
            if
            :: bad_mount -> enter_emergency(false)
            :: else
            fi
        };
        /* What the call made live is noted; without FORETELL_LIVE by looking at it afterwards. */
        atomic { our_live = (FORETELL_LIVE -> NEW_LIVE : live); put_state(settling, no_call); DIE_UNLESS_OK };
        /* healthy(), still_reachable(): a firewall cannot be seen from inside. */
        atomic {
            if
            :: manager != running || !ssh -> goto ended
            :: else -> if
                :: LIVE_LOOKS_THEIRS || (!OURS_BY_ACTS && live != NEW) -> goto ended
                :: else
                fi
            fi
        };

        /* wait_for_confirmation() */
        atomic {
            if
            :: CAN_WRITE -> window = readable
            :: !CAN_WRITE && WRITE_CHECKED -> goto ended
            :: else -> window = unreadable
            fi
        };
        atomic { put_state(in_window, no_call); DIE_UNLESS_OK };
        if
        :: window == was_confirmed
        :: window == was_revoked -> goto ended
        :: atomic { window == readable -> window = was_expired }; goto ended
        :: atomic { UNREADABLE_EXPIRED && window == unreadable -> window = was_expired }; goto ended
        fi;
        atomic { put_state(confirmed, no_call); DIE_UNLESS_OK };
        atomic { open_confirmed = true };             /* DURABLE_CONFIRMED: in open.json */

        /* commit() */
        atomic {
            if
            :: RUNS_ANOTHER || (!OURS_BY_ACTS && live != NEW) || profile != OLD -> goto ended
            :: LATE_LOOK && unit_failed -> goto ended
            :: else
            fi;
            MUST(!unit_failed, what_is_committed_is_well);
            if
            :: GRUB && PROFILE_FIRST
            :: else -> put_state(commit_check, boot_new); DIE_UNLESS_OK
            fi
        };
        if
        :: GRUB && PROFILE_FIRST
        :: else ->
            atomic {
                if
                :: LOOK_EACH_CALL && (BOOT_LOOKS_THEIRS || RUNS_ANOTHER) -> goto ended
                :: else -> take_lock(); DIE_UNLESS_OK
                fi
            };
            atomic { write_loader(NEW) };
            DIE_UNLESS_OK
        fi;
        atomic {
            if
            :: LOOK_EACH_CALL && (BOOT_LOOKS_THEIRS || RUNS_ANOTHER) -> goto ended
            :: else -> put_state(commit_profile, set_new); DIE_UNLESS_OK
            fi
        };
        atomic {
            if
            :: LOOK_EACH_CALL && (profile != OLD || RUNS_ANOTHER) -> goto ended
            :: else -> set_profile(NEW)
            fi
        };
        finish_commit();
        DIE_UNLESS_OK;
        finish(committed);
    ended:
        skip
    } unless { kill_supervisor };
    /* systemd begins ExecStopPost, unless the whole host has gone down. */
    atomic {
        kill_supervisor = false; post_pending = (supervisor_is == alive); supervisor_is = gone;
        ok = true; tries = 0; target = OLD
    }
}
