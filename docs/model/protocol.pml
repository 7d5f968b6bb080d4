/* The protocol by which a host moves from one system to another. See README.md; `make model` checks it. */

/* What differs from run to run comes from the environment, so that one verifier does for all of them. */
c_decl {
    static int setting(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }
    static int unwatched(const char *name) { const char *watch = getenv("WATCH"); return watch && strcmp(watch, name); }
}

#include "rules.pml"
#include "faults.pml"
#include "invariants.pml"
#include "host.pml"
#include "calls.pml"
#include "supervisor.pml"
#include "undo.pml"
#include "world.pml"

/* Once faults have stopped and nothing more can happen: it is over, and the host can be reached, or says that it cannot. */
proctype monitor() {
    timeout;
    MUST(IS_FINAL(state) || (state == nothing && !open_json && !lost_state) || (live_is_their_doing && !REACHABLE),
        something_final_is_reached);
    MUST(REACHABLE || HOPELESS || THEIR_DOING, host_can_be_reached);
    MUST(!(loader == NEW && new_gone), host_boots)
}

init {
    atomic {
        read_watched(); read_rules(); read_faults(); faults = FAULTS;
        if :: FIREWALL -> firewall = true :: FILTERS -> filters = true :: true fi;
        if :: WRAPPED -> wrapped = true :: true fi;
        if :: BAD_MOUNT -> bad_mount = true :: true fi;
        if :: BOOT_ONLY -> boot_only = true :: BOOT_ONLY != 2 fi;
        run supervisor(); run undoer(); run controller(); run third_party(); run machine(); run breakage(); run later(); run monitor()
    }
}
