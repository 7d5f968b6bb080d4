# Makes links to what was built, which are roots of the garbage collector. out_link: the path of the first one. outputs: `NAME PATH` of what was
# built, one a line, as Nix names them; without any it only looks whether the link can be made.
# inputs: out_link outputs
# needs: base
# shellcheck shell=sh

# look_at LINK: as Nix, it takes the place of a link into the store alone.
look_at() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    case $(readlink "$1") in
    /nix/store/*) ;;
    *) refuse not-linked "has something else at $1 than a link to what was built, and it stays; move it away, or name another path (deploy_flake_out_link)" ;;
    esac
}

main() {
    local link name output said
    answer_begin
    require_root
    look_at "$out_link"
    [ -n "$outputs" ] || return 0
    # Of the directories above it, too.
    umask 022
    while read -r name output; do
        link=$out_link
        [ "$name" = out ] || link=$out_link-$name
        look_at "$link"
        # Nothing is to be built or fetched for it.
        nix-store --check-validity "$output" 2>/dev/null || refuse not-valid "does not have $output any more"
        [ "$(readlink "$link")" = "$output" ] || answer linked "$link"
        said=$(timeout -k 5 60 nix-store --realise "$output" --add-root "$link" --indirect 2>&1 >/dev/null) ||
            refuse not-linked "cannot make the link $link to $output, which was built: $said"
    done <<END
$outputs
END
}

main </dev/null
exit
