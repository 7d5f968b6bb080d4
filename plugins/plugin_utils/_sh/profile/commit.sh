# Making a generation the one of its profile. The move of the link is the commit point; there is no boot side.
# inputs: commit_limit mode
# facts: new previous_boot
# needs: base ended health kind live on_disk open_marks process profile profile_back profile_owner record reports_to_directory watch_units whose
# shellcheck shell=sh

commit() {
    may_commit || give_up superseded "somebody else has moved the profile meanwhile"
    # What failed while the window was open counts as it does while units settle.
    watched_long_enough
    still_healthy || give_up "$code" "$complaint"
    # What it has written must not be lost where what comes now is not.
    sync_what_was_written
    mark_open confirmed || give_up cannot-record "could not write $var_dir/open.confirmed (is the disk full?)"
    state commit-profile
    may_commit || give_up superseded "somebody else has moved the profile meanwhile"
    begin_call boot || exit 1
    for_profile "$commit_limit" nix-env -p "$profile" --set "$new"
    [ "$(boot_default)" = "$new" ] || give_up profile "the profile could not be set: nix-env $(ended "$status" "$commit_limit")"
    end_call || exit 1
    finish_commit || exit 1
}

# sync_what_was_written: by an activation, which writes where configurations are. A file system that hangs must not hold up a commit.
sync_what_was_written() {
    local place_there
    for place_there in /etc /var "$profile_home"; do [ ! -d "$place_there" ] || limited 60 sync -f "$place_there"; done
}

# names_new: the look before each step that follows the moved profile link.
names_new() { [ "$(boot_default)" = "$new" ] && may_commit; }

# finish_commit: from the moved profile link on.
finish_commit() {
    state commit-verify
    sync_systems "$commit_limit" || :
    names_new || {
        why superseded "somebody else has moved the profile meanwhile"
        return 1
    }
    after_move "$new"
    forget_live
    finish committed
}

# boot_is_ours: the look before each step back.
boot_is_ours() { ! boot_is_theirs; }

# boot_back: the profile as it was. No, where it is not, or where it is somebody else's by now.
boot_back() {
    boot_is_ours || return 1
    put_profile_back || {
        why profile "the profile could not be put back to ${previous_boot:-nothing}"
        return 1
    }
    after_move "$previous_boot"
}
