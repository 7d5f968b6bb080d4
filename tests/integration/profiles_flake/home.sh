# A stand-in for home-manager's activate: links files below the home, and remembers which generation is live. With --driver-version 1 it leaves
# the profile alone.
# shellcheck shell=sh disable=SC2154
set -eu
cd "$HOME"
[ "$#" = 0 ] || [ "$1 ${2-}" = "--driver-version 1" ]
[ "$USER" = deploy ] || { echo "USER is \"$USER\", expected \"deploy\"" && exit 1; }
[ "$(id -u)" != 0 ]
mkdir -p .config/lab .local/state/home-manager/gcroots .local/state/nix/profiles
ln -sfn "$newGenPath/home-files/.config/lab/version" .config/lab/version
[ "$FAULT" != home ] || { echo "Oops, Nix failed to install your new Home Manager profile!" && exit 1; }
nix-store --realise "$newGenPath" --add-root .local/state/home-manager/gcroots/current-home >/dev/null
