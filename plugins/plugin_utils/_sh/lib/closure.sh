# A closure on its way from one host to others: what this end keeps of it meanwhile. id: of the copy. end: from or to.
# inputs: id end
# needs: base
# shellcheck shell=sh

all_closure_roots=/nix/var/nix/gcroots/deploy-flake-closures

# name_closure: where it is kept. Roots of another boot are nobody's.
name_closure() {
    read_line /proc/sys/kernel/random/boot_id
    boot_id=$line
    closure=$run_dir/closure-$end-$id
    closure_unit=deploy-flake-closure-$end-$id.service
    closure_roots=$all_closure_roots/$boot_id.$end-$id
}

no_room() { refuse no-space "cannot write to $run_dir: $(df -h "$run_dir" | tail -n 1)"; }

# is_at_work: whether the unit is; where it was killed whole, nobody has tidied up. Asked every now and then while something is waited for.
is_at_work() {
    waited=$((${waited:-0} + 1))
    [ $((waited % 20)) = 0 ] || return 0
    case $(sc show -p ActiveState --value "$closure_unit" 2>/dev/null) in
    inactive | failed) ;;
    *) return 0 ;;
    esac
    end_closure
    return 1
}

# end_closure: nothing is left of the copy but what is in the store.
end_closure() {
    sc stop "$closure_unit" 2>/dev/null
    rm -rf "$closure_roots" "$closure"
    rmdir "$all_closure_roots" 2>/dev/null
    return 0
}
