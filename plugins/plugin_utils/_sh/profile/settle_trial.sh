# A system that is booted once is no profile's business.
# sets: trial_started trial_new
# shellcheck shell=sh

settle_trial() { :; }
