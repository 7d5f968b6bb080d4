# Units that go on until there is a final state.
# sets: lasting
# shellcheck shell=sh

# Emergency mode, rescue and another target leave them alone; only a shutdown stops them, before the file systems go that they write to.
# Single mounts, since local-fs.target may itself be waited for.
lasting="-p DefaultDependencies=no -p Conflicts=shutdown.target -p Before=shutdown.target -p IgnoreOnIsolate=yes \
-p After=-.mount -p After=boot.mount -p After=efi.mount -p After=boot-efi.mount -p After=nix.mount -p After=nix-store.mount -p After=nix-var.mount \
-p After=var.mount -p After=var-lib.mount -p OOMPolicy=continue -p OOMScoreAdjust=-900 -p ManagedOOMPreference=omit -p WorkingDirectory=/ -p UMask=0077"
