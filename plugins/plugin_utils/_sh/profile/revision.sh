# From which revision a generation was made: only the record of its deployment knows. What is in it may be its owner's, and is not for root to run.
# shellcheck shell=sh

revision_of() { :; }
