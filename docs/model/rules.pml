/* The rules. Each is 1 or 0; `make model` sets them. All 1 is the protocol as it is, all 0 the first one, which had none of them. */

/* Emergency, rescue, soft-reboot. */
bool NO_DEFAULT_DEPS;          /* units with DefaultDependencies=no: emergency mode does not stop them */
bool EMERGENCY_IS_NO_SHUTDOWN; /* emergency and rescue are no shutdown: the host is brought out of them, and the live side is undone */
bool WAIT_FOR_JOBS;            /* a start that is refused is "not yet": wait until the queue of jobs is empty, and begin the ways again */
bool SOFT_IS_NO_SHUTDOWN;      /* a soft-reboot ends nothing: the deployment stays open across it */
bool GUARD_AFTER_SOFT;         /* a generator of units makes a guard after a soft-reboot */

/* Verified means. */
bool STOP_NEW_UNITS;           /* the way by hand stops what only the new system has, while systemd still knows how */
bool RELOAD_UNITS;             /* what the new system had reloaded is reloaded once more, where no switch has seen what differs */
bool VERIFY_UNITS;             /* verified: nothing of the new system is active any more */
bool LATE_LOOK;                /* units are looked at once more before the commit */
bool LAST_RESORT_AUTO;         /* no way back, no way in, and the boot side is the previous one: reboot */
bool REBOOT_THEN_FINISH;       /* the reboot is asked for before the state is final */

/* Whose is it. */
bool OURS_BY_ACTS;             /* ours is what changed inside our own calls */
bool PARTS_ARE_OURS;           /* NEW, or a part of it, is what our own activation may have led to */
bool LINK_IDENTITY;            /* a link is noted with its inode and ctime, so that one made again is seen */
bool TWO_VERDICTS;             /* live side and boot side have a verdict each */
bool LOOK_EACH_CALL;           /* whose it is, is looked at before each call of ours and before the last word */
bool LOOK_THEN_CALL;           /* ... and before the call is noted as begun, so that nothing of theirs is taken for what it made */
bool LOOK_FOR_NEW;             /* past the commit point the look is for NEW in the profile, not for anything that is not theirs */
bool CONFIRM_LOOKS;            /* what is confirmed is what is live when it is confirmed */
bool SAME_DEFAULT_KEEPS_LIVE;  /* their boot default is our system: leave it live. Not to be followed: see README.md */

/* State that cannot lie. */
bool WRITE_CHECKED;            /* a write of state that fails is the death of the supervisor */
bool UNREADABLE_EXPIRED;       /* a window that cannot be read has expired */
bool OWN_STORAGE;              /* state, facts and program lie on a tmpfs of their own */
bool STORAGE_SURVIVES;         /* ... which a soft-reboot does not unmount */
bool RECORD_DECIDES;           /* who finds the line of this deployment writes its state, and does nothing else */

/* The boot side. */
bool ASK_LOADER;               /* the loader's own default is what counts, also for "unchanged" */
bool KEEP_ROOTS;               /* the roots of a failed deployment stay until a later one has committed */
bool PROFILE_FIRST;            /* where the installer's trial is the real thing: profile first, loader once */
bool DURABLE_CONFIRMED;        /* that it was confirmed is written to disk before the commit */
bool MARKS_ARE_OWN;            /* a deployment that ends takes its own marks off the disk, and no other one's */
bool BOOTED_TELLS;             /* after a power loss what was booted counts too: forward where the loader cannot be read, and no `interrupted` */

/* The controller. */
bool LOST_IS_UNKNOWN;          /* a host whose test was lost is unknown, never "previous" */

inline read_rules() { c_code {
    now.NO_DEFAULT_DEPS = setting("NO_DEFAULT_DEPS");
    now.EMERGENCY_IS_NO_SHUTDOWN = setting("EMERGENCY_IS_NO_SHUTDOWN"); now.WAIT_FOR_JOBS = setting("WAIT_FOR_JOBS");
    now.SOFT_IS_NO_SHUTDOWN = setting("SOFT_IS_NO_SHUTDOWN"); now.GUARD_AFTER_SOFT = setting("GUARD_AFTER_SOFT");
    now.STOP_NEW_UNITS = setting("STOP_NEW_UNITS"); now.RELOAD_UNITS = setting("RELOAD_UNITS"); now.VERIFY_UNITS = setting("VERIFY_UNITS");
    now.LATE_LOOK = setting("LATE_LOOK"); now.LAST_RESORT_AUTO = setting("LAST_RESORT_AUTO");
    now.REBOOT_THEN_FINISH = setting("REBOOT_THEN_FINISH"); now.OURS_BY_ACTS = setting("OURS_BY_ACTS");
    now.PARTS_ARE_OURS = setting("PARTS_ARE_OURS"); now.LINK_IDENTITY = setting("LINK_IDENTITY");
    now.TWO_VERDICTS = setting("TWO_VERDICTS"); now.LOOK_EACH_CALL = setting("LOOK_EACH_CALL");
    now.LOOK_THEN_CALL = setting("LOOK_THEN_CALL");
    now.LOOK_FOR_NEW = setting("LOOK_FOR_NEW"); now.CONFIRM_LOOKS = setting("CONFIRM_LOOKS"); now.SAME_DEFAULT_KEEPS_LIVE = setting("SAME_DEFAULT_KEEPS_LIVE");
    now.WRITE_CHECKED = setting("WRITE_CHECKED"); now.UNREADABLE_EXPIRED = setting("UNREADABLE_EXPIRED");
    now.OWN_STORAGE = setting("OWN_STORAGE"); now.STORAGE_SURVIVES = setting("STORAGE_SURVIVES");
    now.RECORD_DECIDES = setting("RECORD_DECIDES"); now.ASK_LOADER = setting("ASK_LOADER");
    now.KEEP_ROOTS = setting("KEEP_ROOTS"); now.PROFILE_FIRST = setting("PROFILE_FIRST");
    now.DURABLE_CONFIRMED = setting("DURABLE_CONFIRMED"); now.MARKS_ARE_OWN = setting("MARKS_ARE_OWN");
    now.BOOTED_TELLS = setting("BOOTED_TELLS"); now.LOST_IS_UNKNOWN = setting("LOST_IS_UNKNOWN");
} }
