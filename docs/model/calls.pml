/* What supervisor and undo have in common: their view of the host, and their calls. */

/* somebody_else_switched(), lib/undo.sh. Today by path; by OURS_BY_ACTS by what happened outside of our calls. OLD is nobody's
   loss. */
#define OPEN_CALL_MADE_LIVE (call == test_new && (live == NEW || (live == INNER && FORETELL_LIVE)))
#define LIVE_LOOKS_THEIRS (OURS_BY_ACTS \
    -> (live != OLD && !OPEN_CALL_MADE_LIVE && \
        (live != our_live || (LINK_IDENTITY && live_made_again && call != test_new))) \
    : (live != OLD && live != NEW))
#define BOOT_LOOKS_THEIRS (OURS_BY_ACTS \
    -> (profile != OLD && !(call == set_new && profile == NEW) && \
        (profile != our_profile || (LINK_IDENTITY && profile_made_again && call != set_new))) \
    : (profile != OLD && profile != NEW))
/* Their very system is ours: that does not hinder a commit. */
#define RUNS_ANOTHER (LIVE_LOOKS_THEIRS && !(OURS_BY_ACTS && live == NEW_LIVE))
#define LOADER_NAMES(s) (!ASK_LOADER || !loader_readable || loader == s)

/* state(), lib/record.sh: by rename, so it is the old one or the new one. `ok` is false where the writer has to die. */
inline put_state(s, c) {
    if
    :: repairing                                      /* repair has a state of its own, and open.json */
    :: !repairing && CAN_WRITE -> state = s; call = c
    :: !repairing && !CAN_WRITE && WRITE_CHECKED && must_write -> ok = false
    :: else
    fi
}

/* switch_to … boot, lib/switch.sh, in two steps: the lock, then the loader. Half way: it names what it should, or not. */
inline take_lock() {
    if
    :: foreign_lock -> ok = false
    :: else -> lock = true
    fi
}
inline write_loader(s) {
    target = (GRUB -> s : profile);
    if
    :: installer == works -> loader = target
    :: installer == idle
    :: installer == fails -> ok = false
    :: installer == fails -> ok = false; loader = target
    fi;
    MUST(!(boot_is_theirs && loader != profile), theirs_is_kept);
    MUST(ever_confirmed || loader != NEW || boot_is_theirs, unconfirmed_is_never_default);
    lock = false
}

/* nix-env -p /nix/var/nix/profiles/system --set, or --switch-generation. */
inline set_profile(s) {
    MUST(!(boot_is_theirs && profile != s), theirs_is_kept);
    MUST(ever_confirmed || s != NEW || boot_is_theirs, unconfirmed_is_never_default);
    profile = s; profile_made_again = false
}

/* `activate` of a system, as switch-to-configuration test or by hand runs it. */
inline make_live(s) {
    MUST(!(live_is_theirs && live != s), theirs_is_kept);
    live = s; live_made_again = false; live_is_their_doing = false
}

/* finish_commit(), lib/commit.sh: from the moved profile on. Two tries of the loader. */
inline finish_commit() {
    ok = true; tries = 0;
    atomic { our_profile = NEW; put_state(commit_boot, boot_new) };
    do
    :: !ok || tries == 2 -> break
    :: ok && tries < 2 ->
        atomic {
            tries++;
            if
            :: LOOK_EACH_CALL && (BOOT_LOOKS_THEIRS || RUNS_ANOTHER) -> ok = false; tries = 2
            :: else -> take_lock()
            fi
        };
        if
        :: ok -> atomic { write_loader(NEW) }
        :: else
        fi;
        if
        :: ok -> break
        :: !ok && tries < 2 -> ok = true
        :: else -> break
        fi
    od;
    if
    :: ok -> atomic { put_state(commit_verify, no_call) }
    :: else
    fi;
    if
    :: ok -> atomic {
        /* The last look and the line are one step: nobody can close the gap between them. */
        if
        :: profile != NEW || !LOADER_NAMES(NEW) || (LOOK_EACH_CALL && (BOOT_LOOKS_THEIRS || RUNS_ANOTHER)) -> ok = false
        :: else -> write_line(committed)
        fi }
    :: else
    fi
}

/* write_line(), lib/record.sh: the line in deployments.jsonl, once. */
inline write_line(o) {
    if
    :: line == nothing -> line = o; CLAIM(o)
    :: else
    fi
}

/* The rest of finish(), lib/record.sh, and of clean_up(), lib/record.sh: roots, open.json, and the final state. */
inline finish(o) {
    atomic {
        roots = (o == rollback_failed || o == commit_failed);
        open_json = false; open_confirmed = false
    };
    atomic {
        MUST(line == o, line_says_what_state_says);
        if
        :: CAN_WRITE -> state = o
        :: else -> in_vain = true
        fi
    }
}
