/* A host: what it runs, what it boots, what its manager does, and what lies on its disk and in /run. */

mtype:system = { OLD, NEW, INNER, OTHER };  /* INNER: what `activate` of a wrapped NEW makes live. OTHER: a third party's. */

mtype:system live = OLD, profile = OLD, loader = OLD;
bool locked_out;          /* a unit that only NEW has is active, or one of both holds what NEW gave it, and lets nobody in */
bool ssh = true;          /* an ssh unit is active */
mtype:manager = { running, emergency, soft_rebooting, shutting_down };
mtype:manager manager = running;   /* rescue is `emergency` too */
bool jobs;                /* irreversible stop jobs are queued: every start is refused */
bool own_stop;            /* ... and the stop of our own unit is one of them, which waits for the undo */
bool lock, foreign_lock;  /* switch-to-configuration's: held by us, by something that never lets go */
mtype:installer = { works, idle, fails };
mtype:installer installer = works;
bool loader_readable = true, hand_broken, cannot_stop, unit_failed;
bool run_full, own_full, new_gone;
mtype:side = { kept, theirs, broken };  /* of the boot side, as the undo sees it */

/* What NEW is like. */
bool firewall, filters, wrapped, bad_mount;
#define LOCKS_OUT (firewall || filters)
bool boot_only;           /* it is made the boot default and never live: asked for so, or since it needs a reboot */

/* On disk: open.json, open.confirmed, the roots, the line in deployments.jsonl. */
bool open_json, open_confirmed, roots;
mtype:state = { nothing, checking, activating, settling, in_window, confirmed, commit_check, commit_profile, commit_boot,
    commit_verify, rolling_back, committed, until_reboot, rolled_back, rollback_failed, commit_failed, refused, superseded, interrupted };
mtype:state line = nothing;

/* In the deployment's directory. */
mtype:state state = nothing, phase_file = nothing;
mtype:window = { absent, readable, unreadable, was_confirmed, was_expired, was_revoked };
mtype:window window = absent;
bool back, way_begun;
/* The notes of OURS_BY_ACTS: what our last call left, and the call that is under way. */
mtype:call = { no_call, test_new, set_new };
mtype:call call = no_call;
mtype:system our_live = OLD, our_profile = OLD;
bool live_made_again, profile_made_again;  /* for LINK_IDENTITY: the link is another one than we left, whatever it names */

/* Processes. */
mtype:process = { waiting, alive, gone };
mtype:process supervisor_is = waiting;
bool kill_supervisor, hung, post_pending, guard_up, undo_running, kill_undo;
bool in_vain;             /* the final state could not be written: tried again when there is room */

/* For the invariants alone: no action looks at them. */
bool ever_confirmed, going_back, live_is_theirs, boot_is_theirs, live_is_their_doing, they_acted, admin_rescue, late_rescue,
    told_previous, after_boot, lost_state, we_set, ways_over;
byte faults;

#define IS_FINAL(s) (s == committed || s == until_reboot || s == rolled_back || s == rollback_failed || s == commit_failed || \
    s == refused || s == superseded || s == interrupted)
#define REACHABLE (manager == running && ssh && !locked_out)
#define LIVE_IS_NEW (live == NEW || live == INNER)
#define JOBS_CAN_END (!(own_stop && (undo_running || post_pending || supervisor_is == alive)))
#define CAN_WRITE (!(OWN_STORAGE && own_full) && !(!OWN_STORAGE && run_full))
#define NEW_LIVE (wrapped -> INNER : NEW)
/* A deployment is under way, and no fault comes too late to be its business. */
#define UNDER_WAY (supervisor_is != waiting && !IS_FINAL(state) && line == nothing && !(state == nothing && !open_json))
#define FAULT(kind) (kind && faults > 0 && UNDER_WAY && NOBODY_IS_DYING)
/* A death is one step, as far as others can see. */
#define NOBODY_IS_DYING (!kill_supervisor && !kill_undo)

/* The death of the main process, or its stop: systemd begins ExecStopPost. The last thing of a step, since the supervisor itself
   may take it, and takes no other after it. */
inline end_supervisor() {
    if
    :: supervisor_is == alive -> hung = false; kill_supervisor = true
    :: else
    fi
}

/* local-fs.target's OnFailure=emergency.target, or `systemctl rescue` (by an admin; IgnoreOnIsolate keeps our units). */
inline enter_emergency(by_admin) {
    manager = emergency; ssh = false; jobs = true;
    if
    :: locked_out = false
    :: !by_admin  /* a unit without default dependencies goes on */
    fi;
    if
    :: !by_admin && !NO_DEFAULT_DEPS -> guard_up = false; own_stop = true; end_supervisor()
    :: else
    fi
}

/* Every process goes, and what processes hold. */
inline end_everything() {
    end_supervisor(); supervisor_is = gone;
    if
    :: undo_running -> kill_undo = true
    :: else
    fi;
    post_pending = false; guard_up = false; lock = false; foreign_lock = false; jobs = false; own_stop = false;
    hand_broken = false; cannot_stop = false
}

inline lose_state() {
    state = nothing; phase_file = nothing; window = absent; back = false; way_begun = false; call = no_call;
    our_live = OLD; our_profile = OLD; live_made_again = false; profile_made_again = false
}

/* The units of the system that is live are started. */
inline start_live_system() {
    ssh = true; locked_out = (LIVE_IS_NEW && LOCKS_OUT); manager = running;
    if
    :: LIVE_IS_NEW && bad_mount -> enter_emergency(false)
    :: else
    fi
}

/* A power loss, or the end of a shutdown: /run is gone, and the loader's default starts. */
inline boot_host() {
    MUST(!(loader == NEW && new_gone), host_boots);
    MUST(!(loader == NEW && !ever_confirmed && !boot_is_theirs), unconfirmed_is_never_default);
    MUST(!(open_json && loader == NEW && profile != NEW && !boot_is_theirs && !going_back), profile_names_what_boots);
    end_everything(); lose_state(); run_full = false; own_full = false; unit_failed = false; after_boot = true;
    live = (loader == NEW -> NEW_LIVE : loader); live_is_theirs = (boot_is_theirs && loader != OLD);
    live_is_their_doing = live_is_theirs;
    start_live_system()
}

/* A soft-reboot: /run and what is live stay, every process goes, mounts below /run are unmounted. */
inline soft_reboot_host() {
    end_everything();
    if
    :: OWN_STORAGE && !STORAGE_SURVIVES && state != nothing -> lose_state(); lost_state = true
    :: else
    fi;
    start_live_system();
    guard_up = (GUARD_AFTER_SOFT && state != nothing && !IS_FINAL(state))
}
