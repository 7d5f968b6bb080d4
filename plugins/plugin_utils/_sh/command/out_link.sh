# Makes links to what was built, which are roots of the garbage collector. out_link: the path of the first one. outputs: `NAME PATH` of what was
# built, one a line, as Nix names them; without any it only looks whether the link can be made, and says of which other outputs it could not.
# inputs: out_link outputs login_user
# needs: base
# shellcheck shell=sh

automatic=/nix/var/nix/gcroots/auto

# is_own LINK: whether it is a root that Nix has made for a link in this place, and no link of the system's, or of anybody else's.
is_own() {
    local name names
    case $(readlink "$1") in /nix/store/*) ;; *) return 1 ;; esac
    # shellcheck disable=SC2010,SC2012 # names are hashes
    names=$(ls -l "$automatic" 2>/dev/null | grep -F -e " -> $1" | sed 's/ -> .*//; s/.* //')
    for name in $names; do [ "$(readlink "$automatic/$name")" != "$1" ] || return 0; done
    return 1
}

# is_free LINK: whether one can be made there.
is_free() { { [ ! -e "$1" ] && [ ! -L "$1" ]; } || is_own "$1"; }

refuse_taken() {
    refuse not-linked "has something else at $1 than a link of an earlier build with this out_link, and it stays; move it away, or name another path (deploy_flake_out_link)"
}

# refuse_parents: a link that root makes in a directory of somebody else's lands where that one likes.
refuse_parents() {
    local each group mode owner rest user
    user=$(timeout -k 5 20 id -u -- "${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}" 2>/dev/null)
    each=
    rest=${out_link%/*}/
    while [ -n "$rest" ]; do
        each=$each${rest%%/*}
        rest=${rest#*/}
        [ ! -L "$each" ] || refuse_parent "$each is a link"
        if [ ! -d "$each/" ]; then
            [ ! -e "$each" ] || refuse_parent "$each is not a directory"
            return
        fi
        read -r owner group mode <<END
$(stat -c '%u %g %a' "$each/")
END
        case $owner in 0 | "${user:-0}") ;; *) refuse_parent "${each:-/} belongs to another user than root and the one who logs in" ;; esac
        case $mode:$group in
        *[2367]:* | *[2367]?:[!0]*) refuse_parent "others can write to ${each:-/}" ;;
        esac
        each=$each/
    done
}

refuse_parent() { refuse not-linked "makes no link $out_link as root, since $1; name another path (deploy_flake_out_link), as /root/result"; }

# each_output COMMAND: with the link of each and what it leads to.
each_output() {
    local name output
    while read -r name output; do
        if [ "$name" = out ]; then "$1" "$out_link" "$output"; else "$1" "$out_link-$name" "$output"; fi
    done <<END
$outputs
END
}

# shellcheck disable=SC2317 # by each_output
look_at_one() {
    is_free "$1" || refuse_taken "$1"
    # Nothing is to be built or fetched for it.
    nix-store --check-validity "$2" 2>/dev/null || refuse not-valid "does not have $2 any more"
}

# shellcheck disable=SC2317 # by each_output
make_one() {
    local said
    [ "$(readlink "$1")" = "$2" ] || answer linked "$1"
    said=$(timeout -k 5 60 nix-store --realise "$2" --add-root "$1" --indirect 2>&1 >/dev/null) ||
        refuse not-linked "cannot make the link $1 to $2, which was built: $said"
}

main() {
    local link
    answer_begin
    require_root
    refuse_parents
    if [ -n "$outputs" ]; then
        # Of the directories above it, too.
        umask 022
        each_output look_at_one
        each_output make_one
        return
    fi
    is_free "$out_link" || refuse_taken "$out_link"
    for link in "$out_link"-*; do
        is_free "$link" || answer taken "${link#"$out_link-"}"
    done
}

main </dev/null
exit
