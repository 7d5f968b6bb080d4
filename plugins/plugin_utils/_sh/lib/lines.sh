# Lists, one name a line.
# shellcheck shell=sh

# lines_without LIST: of standard input those lines that the file does not have. No grep -v -f: busybox's prints nothing where the file is
# empty.
lines_without() { awk -v list="$1" 'BEGIN { while ((getline one <list) > 0) listed[one] } !($0 in listed)'; }
