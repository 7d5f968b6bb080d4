/* What may go wrong in this run: how many faults in all, and of which kinds. `make model` sets them. */
byte FAULTS;

/* Kinds of system and host: 1 is "perhaps", and costs no fault. */
byte FIREWALL;          /* the new system has a unit that locks everybody out, and that the previous one does not have */
byte FILTERS;           /* instead of that, a unit of both lets nobody in with the new system's rules, and a switch reloads it */
byte WRAPPED;           /* the new system's `activate` makes another path live */
byte BAD_MOUNT;         /* the new system has a mount that fails, and that local-fs.target requires */
byte BOOT_ONLY;         /* the deployment is boot-only; 2: it is; not together with FIREWALL and BAD_MOUNT */
byte UNTIL_REBOOT;      /* 1: what is confirmed runs until the next reboot */
byte GRUB;              /* 1: the installer makes its argument the default at once, as GRUB's, extlinux's, and systemd-boot's of a generation;
                           0: what the profile names */
byte NEVER_REBOOT;      /* 1: the operator has said last_resort_reboot: never */

/* Faults: each that happens costs one. */
byte KILL;              /* SIGKILL to supervisor or undo, also of a later deployment */
byte HANG;              /* the supervisor stops to make progress */
byte THIRD_LIVE;        /* somebody else makes a system live: another, or the very same */
byte THIRD_BOOT;        /* somebody else makes a system the boot default: another, or the very same */
byte RESCUE;            /* systemctl rescue */
byte SOFT_REBOOT;
byte SHUTDOWN;          /* systemctl reboot */
byte POWER;
byte RUN_FULL;          /* /run is full: 1 for a while, 2 for ever */
byte OWN_FULL;          /* a write fails also on a file system of our own, for a while: no memory */
byte DAMAGED;           /* the window's file cannot be read any more */
byte LOCK_HELD;         /* something holds the lock of switch-to-configuration for good */
byte HAND_BROKEN;       /* the way by hand: 1, `activate` fails; 2, what only the new system has cannot be stopped,
                           nor a unit of both be reloaded; 3, either */
byte INSTALLER;         /* from now on the installer of the boot loader: 1 does nothing, 2 fails half way, 3 either */
byte UNREADABLE_LOADER;
byte LATE_FAILURE;      /* a unit fails while the window is open */
byte LINK_CUT;          /* the controller loses the host while it activates */

/* No fault: later deployments, and garbage collection. */
byte LATER;

inline read_faults() { c_code {
    now.FAULTS = setting("FAULTS"); now.FIREWALL = setting("FIREWALL"); now.FILTERS = setting("FILTERS"); now.WRAPPED = setting("WRAPPED");
    now.BAD_MOUNT = setting("BAD_MOUNT"); now.BOOT_ONLY = setting("BOOT_ONLY"); now.UNTIL_REBOOT = setting("UNTIL_REBOOT");
    now.GRUB = setting("GRUB"); now.NEVER_REBOOT = setting("NEVER_REBOOT");
    now.KILL = setting("KILL"); now.HANG = setting("HANG"); now.THIRD_LIVE = setting("THIRD_LIVE");
    now.THIRD_BOOT = setting("THIRD_BOOT"); now.RESCUE = setting("RESCUE"); now.SOFT_REBOOT = setting("SOFT_REBOOT");
    now.SHUTDOWN = setting("SHUTDOWN"); now.POWER = setting("POWER"); now.RUN_FULL = setting("RUN_FULL");
    now.OWN_FULL = setting("OWN_FULL"); now.DAMAGED = setting("DAMAGED"); now.LOCK_HELD = setting("LOCK_HELD");
    now.HAND_BROKEN = setting("HAND_BROKEN"); now.INSTALLER = setting("INSTALLER");
    now.UNREADABLE_LOADER = setting("UNREADABLE_LOADER"); now.LATE_FAILURE = setting("LATE_FAILURE");
    now.LINK_CUT = setting("LINK_CUT"); now.LATER = setting("LATER");
} }
