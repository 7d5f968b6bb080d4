# The end of a trial.
# needs: base boot_choice tools trial
# shellcheck shell=sh

# forget_trial: lets go of the generation that was made for it, and of the entry that would be booted once. Whoever writes the
# boot loader next takes its entry away.
forget_trial() {
    local link
    loader=$trial_loader
    has_loader_tool && not_once "$trial_entry"
    link=$profile-$trial_generation-link
    if [ "$trial_made" = yes ] && [ "$(readlink "$link")" = "$trial_new" ] && [ "$(readlink "$profile")" != "${link##*/}" ]; then
        rm -f "$link"
        sync -f "${profile%/*}"
    fi
    rm -f "$roots/deployment-trial-new" "$roots/deployment-trial-old"
    rmdir "$roots" 2>/dev/null
    rm -f "$trial_file" "$trial_file.new"
    sync -f "$var_dir"
}

# has_loader_tool: all that is needed to take the choice of an entry back.
has_loader_tool() {
    case $loader in
    grub) tool grub-editenv >/dev/null ;;
    systemd-boot) tool bootctl >/dev/null ;;
    *) return 1 ;;
    esac
}
