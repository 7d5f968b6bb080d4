# awk for what names paths with three octal digits in the place of a blank: fstab, and where the kernel tells of mounts.
# shellcheck shell=sh

# awk_of_mounts PROGRAM FILE: with the function that gives a path as it is.
awk_of_mounts() {
    awk '
        function decoded(text,   octal, out) {
            while (match(text, /\\[0-7][0-7][0-7]/)) {
                octal = 64 * substr(text, RSTART + 1, 1) + 8 * substr(text, RSTART + 2, 1) + substr(text, RSTART + 3, 1)
                out = out substr(text, 1, RSTART - 1) sprintf("%c", octal)
                text = substr(text, RSTART + 4)
            }
            return out text
        }
        '"$1" "$2"
}
