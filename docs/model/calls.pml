/* What supervisor and undo have in common: whose it is, their calls, and how they end. */

/* may_have_made(), live_is_theirs(), lib/whose.sh, and boot_is_theirs(), lib/calls.sh: what our activation may lead to is NEW or a part of it; theirs is what
   happened outside of our calls. The first protocol told it by path. OLD is nobody's loss. */
#define MAY_HAVE_MADE(s) (s == NEW || (s == INNER && PARTS_ARE_OURS))
#define LIVE_LOOKS_THEIRS (OURS_BY_ACTS \
    -> (live != OLD && !(call == test_new && MAY_HAVE_MADE(live)) && (live != our_live || (LINK_IDENTITY && live_made_again))) \
    : (live != OLD && live != NEW))
#define BOOT_LOOKS_THEIRS (OURS_BY_ACTS \
    -> (profile != OLD && !(call == set_new && profile == NEW) && (profile != our_profile || (LINK_IDENTITY && profile_made_again))) \
    : (profile != OLD && profile != NEW))
/* may_commit(), lib/whose.sh: where they made live the very system that was tried, that hinders nobody. Nothing is noted: NEW is meant. */
#define RUNS_WHAT_WAS_TRIED (boot_only || live == (our_live == OLD -> NEW : our_live))
#define MAY_COMMIT (RUNS_WHAT_WAS_TRIED && !BOOT_LOOKS_THEIRS)
/* loader_names(), lib/boot_loader.sh */
#define LOADER_NAMES(s) (!ASK_LOADER || !loader_readable || loader == s)

/* state(), lib/record.sh: by rename, so it is the old one or the new one. `ok` is false where the writer has to die. */
inline put_state(s) {
    if
    :: repairing                                      /* it has a state of its own, and open.json */
    :: !repairing && CAN_WRITE -> state = s
    :: !repairing && !CAN_WRITE && WRITE_CHECKED && must_write -> ok = false
    :: else
    fi
}

/* begin_call(), lib/calls.sh; end_call(), lib/whose.sh */
inline begin_call(c) {
    if
    :: CAN_WRITE -> call = c
    :: !CAN_WRITE && WRITE_CHECKED && must_write -> ok = false
    :: else
    fi
}
inline end_call() {
    if
    :: call == test_new && MAY_HAVE_MADE(live) ->
        if
        :: CAN_WRITE -> our_live = live; live_made_again = false; call = no_call
        :: else -> ok = !(WRITE_CHECKED && must_write)
        fi
    :: call == set_new && profile == NEW ->
        if
        :: CAN_WRITE -> our_profile = NEW; profile_made_again = false; call = no_call
        :: else -> ok = !(WRITE_CHECKED && must_write)
        fi
    :: else -> call = no_call
    fi
}

/* switch_to(), lib/switch.sh, in two steps: the lock, then what it does. Half way: the loader names what it should, or not. */
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
    profile = s; profile_made_again = false; we_set = (s == NEW)
}

/* `activate` of a system, as switch-to-configuration test or by hand runs it. */
inline make_live(s) {
    MUST(!(live_is_theirs && live != s), theirs_is_kept);
    live = s; live_made_again = false; live_is_their_doing = false
}

/* finish_commit(), lib/commit.sh: from the moved profile on. names_new(), lib/commit.sh, is its look. Two tries of the loader. */
#define NAMES_NEW ((!LOOK_FOR_NEW || profile == NEW) && (repairing || RUNS_WHAT_WAS_TRIED) && !BOOT_LOOKS_THEIRS)
inline finish_commit() {
    ok = true; tries = 0;
    atomic { put_state(commit_boot) };
    do
    :: !ok || tries == 2 -> break
    :: ok && tries < 2 ->
        atomic {
            tries++;
            if
            :: LOOK_EACH_CALL && !NAMES_NEW -> ok = false; tries = 2
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
    :: ok -> atomic { put_state(commit_verify) }
    :: else
    fi;
    if
    :: ok -> atomic {
        /* The last look and the line are one step: nobody can close the gap between them. */
        if
        :: profile != NEW || !LOADER_NAMES(NEW) || (LOOK_EACH_CALL && !NAMES_NEW) -> ok = false
        :: else -> write_line(committed)
        fi }
    :: else
    fi
}

/* boot_back(), boot_untouched(), lib/commit.sh; put_profile_back(), lib/profile_back.sh: the profile, then the loader; or it is as it was, where it
   cannot be written. */
inline boot_back() {
    atomic {
        ok = true;
        if
        :: LOOK_EACH_CALL && BOOT_LOOKS_THEIRS -> boot = theirs
        :: profile != OLD && !(LOOK_EACH_CALL && BOOT_LOOKS_THEIRS) -> set_profile(OLD); going_back = true
        :: else
        fi
    };
    atomic {
        if
        :: boot == theirs || (LOOK_EACH_CALL && BOOT_LOOKS_THEIRS) -> boot = theirs
        :: else -> take_lock()
        fi
    };
    if
    :: boot == theirs
    :: boot != theirs && ok -> atomic { write_loader(OLD); boot = (((!ok && loader != OLD) || !LOADER_NAMES(OLD)) -> broken : kept) }
    :: boot != theirs && !ok -> boot = (loader != OLD -> broken : kept)
    fi
}

/* write_line(), lib/record.sh: the line in deployments.jsonl, once. */
inline write_line(o) {
    if
    :: line == nothing -> line = o; CLAIM(o)
    :: else
    fi
}

/* close(), lib/record.sh: the rest of finish(), lib/record.sh: marks, roots, open.json, and the final state. */
inline close(o) {
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
