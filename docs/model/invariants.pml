/* What must hold. What is about a single step stands there (host.pml, calls.pml, world.pml), the end of a run in protocol.pml. */

/* Named, so that the verifier says what is broken. All false; with WATCH all but the one that it names are true, and so not
   looked at. */
bool unconfirmed_is_never_default, final_state_is_true, host_can_be_reached, host_boots, theirs_is_kept,
    something_final_is_reached, profile_names_what_boots, line_says_what_state_says, what_is_committed_is_well,
    window_expires_in_time, unchanged_is_true, report_is_true;
#define MUST(x, name) if :: (x) :: else -> assert(name) fi
inline read_watched() { c_code {
    now.unconfirmed_is_never_default = unwatched("unconfirmed_is_never_default");
    now.final_state_is_true = unwatched("final_state_is_true");
    now.host_can_be_reached = unwatched("host_can_be_reached"); now.host_boots = unwatched("host_boots");
    now.theirs_is_kept = unwatched("theirs_is_kept");
    now.something_final_is_reached = unwatched("something_final_is_reached");
    now.profile_names_what_boots = unwatched("profile_names_what_boots");
    now.line_says_what_state_says = unwatched("line_says_what_state_says");
    now.what_is_committed_is_well = unwatched("what_is_committed_is_well");
    now.window_expires_in_time = unwatched("window_expires_in_time");
    now.unchanged_is_true = unwatched("unchanged_is_true"); now.report_is_true = unwatched("report_is_true");
} }

/* A final state is true: what an outcome claims, when its line is written. */
#define KNOWS_LOADER (!ASK_LOADER || loader_readable)  /* otherwise the line says "unknown" */
#define BOOTS(s) (profile == s && (loader == s || !KNOWS_LOADER))
#define NOTHING_OF_OURS ((live == OLD || live_is_theirs) && ((profile == OLD && loader == OLD) || boot_is_theirs))
#define CLAIM(o) \
    MUST(o != committed || (ever_confirmed && BOOTS(NEW) && (LIVE_IS_NEW || after_boot || boot_only)), final_state_is_true); \
    MUST(o != until_reboot || (ever_confirmed && BOOTS(OLD) && LIVE_IS_NEW), final_state_is_true); \
    MUST(o != rolled_back || ((live == OLD || boot_only) && BOOTS(OLD) && !locked_out), final_state_is_true); \
    MUST(o != refused || NOTHING_OF_OURS, final_state_is_true); \
    MUST(o != superseded || they_acted, final_state_is_true); \
    MUST(o != interrupted || (BOOTS(OLD) && (live == OLD || boot_only || manager == shutting_down)), final_state_is_true)

/* The host had no way back: the operator forbade the reboot or it would not help, and every other way was broken. */
#define HOPELESS (line == rollback_failed && (NEVER_REBOOT || loader != OLD || profile != OLD) && \
    ((foreign_lock && (hand_broken || cannot_stop)) || (filters && cannot_stop)))
/* An admin's rescue is theirs to end: where nothing was made live, where all was back already, or where what was confirmed is left as it
   is. */
#define THEIR_RESCUE (admin_rescue && (boot_only || (ever_confirmed && (LIVE_IS_NEW || line == superseded))))
#define THEIR_DOING (live_is_their_doing || late_rescue || THEIR_RESCUE)
