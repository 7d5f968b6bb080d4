# Builds a toplevel from a configuration: what `config.system.build.toplevel` is on NixOS, without nixpkgs. The builder is
# one run of /bin/sh, be it bash, dash or busybox, so it takes well under a second.
configuration:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    concatStringsSep
    dirOf
    mapAttrs
    readFile
    replaceStrings
    toFile
    ;

  system = "x86_64-linux";
  lines = concatStringsSep "\n";
  quote = text: "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";

  # The shell itself is there to the end: else the last command takes its place, closes its output before it exits, and may be
  # killed by Nix at that moment, which waits for nothing but the end of the output.
  run =
    name: script:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      args = [
        "-euc"
        "PATH=/usr/bin:/bin\n${script}\nexit 0"
      ];
      preferLocalBuild = true;
    };

  build =
    c:
    let
      # Nix puts the toplevel's own path in the place of this.
      out = builtins.placeholder "out";
      withOut = replaceStrings [ "@toplevel@" ] [ out ];

      # In a container, which shares the kernel of the machine, these are files of some weight and nothing else. Where the
      # host has a kernel of its own, they are that one.
      linux = "/usr/lib/linux";
      kernel = run "linux-${c.kernelVersion}" ''
        mkdir -p "$out/lib/modules/${c.kernelVersion}"
        if [ -e ${linux}/bzImage ]; then
            cp ${linux}/bzImage "$out/"
        else
            { echo "linux ${c.kernelVersion}"; head -c 400000 /dev/zero; } >"$out/bzImage"
        fi
      '';
      initrd = run "initrd-linux-${c.kernelVersion}" ''
        mkdir "$out"
        if [ -e ${linux}/initrd ]; then
            cp ${linux}/initrd "$out/"
        else
            { echo "initrd ${c.kernelVersion}"; head -c 300000 /dev/zero; } >"$out/initrd"
        fi
      '';

      # Likewise: a program that says its version, and as many bytes as make a difference to see.
      packages = mapAttrs (
        name: version:
        run "${name}-${version}" ''
          mkdir -p "$out/bin" "$out/share/${name}"
          printf '#!/bin/sh\necho ${name} ${version}\n' >"$out/bin/${name}"
          chmod +x "$out/bin/${name}"
          head -c 32768 /dev/zero >"$out/share/${name}/data"
        ''
      ) c.packages;

      specialisation = mapAttrs (_: change: build (c // { specialisation = { }; } // change)) c.specialisation;

      bootspec = toplevel: {
        "org.nixos.bootspec.v1" = {
          inherit system toplevel;
          inherit (c) kernelParams label;
          init = "${toplevel}/init";
          kernel = "${kernel}/bzImage";
          initrd = "${initrd}/initrd";
        };
        "org.nixos.specialisation.v1" = mapAttrs (_: s: s.bootspec s.toplevel) specialisation;
      };

      activationScript = name: text: "${name}() {\n${text}\n}\nsnippet ${name}\n";
      preSwitchCheck = name: text: ''
        if ! (
        ${text}
        ); then
            echo "Pre-switch check '${name}' failed"
            exit 1
        fi
      '';
      preSwitchChecks = {
        switchInhibitors = readFile ./check-switch-inhibitors;
      }
      // c.preSwitchChecks;

      versionJson =
        {
          nixosVersion = c.label;
        }
        // (if c.revision == null then { } else { configurationRevision = c.revision; });

      files = {
        "nixos-version" = c.label;
        "system" = system;
        "init-interface-version" = c.initInterfaceVersion;
        "kernel-params" = concatStringsSep " " c.kernelParams;
        "switch-inhibitors" = builtins.toJSON c.switchInhibitors;
        "boot.json" = builtins.toJSON (bootspec out);
        "etc/os-release" = ''
          ID=nixos
          NAME=NixOS
          PRETTY_NAME="NixOS ${c.label} (example)"
          VERSION_ID="25.11"
          BUILD_ID="${c.label}"
        '';
        "etc/hosts" = ''
          127.0.0.1 localhost
          ::1 localhost
          127.0.0.2 ${toString ([ c.hostName ] ++ c.extraHosts)}
        '';
        "etc/ssh/sshd_config" = c.sshdConfig;
        "etc/deploy-flake-trial.sh" = readFile ./trial.sh;
        "user-units/nixos-activation.service" =
          replaceStrings [ "@userActivation@" ] [ c.userActivation ]
            (readFile ./nixos-activation.service);
      }
      // (if c.hostName == "" then { } else { "etc/hostname" = c.hostName + "\n"; })
      // (if c.revision == null then { } else { "configuration-revision" = c.revision; })
      // builtins.listToAttrs (
        map (name: {
          name = "system-units/${name}";
          # A changed configuration restarts the daemon that reads it.
          value = replaceStrings [ "@sshdConfig@" ] [ (builtins.hashString "sha256" c.sshdConfig) ] c.units.${name};
        }) (attrNames c.units)
      );

      # Like NixOS's, these bring a shell of their own: /bin/sh may be busybox, which puts its own tools before those of
      # PATH.
      programs = {
        "init" = withOut (readFile ./init);
        "activate" = replaceStrings [ "@snippets@" ] [
          (lines (attrValues (mapAttrs activationScript c.activationScripts)))
        ] (withOut (readFile ./activate));
        "dry-activate" = ''
          #!/usr/bin/dash
          echo "would set up /etc, the host name and the wrappers"
        '';
        # The program behind this wrapper is NixOS's own, or the one of this directory: they want the same variables.
        "bin/switch-to-configuration" = ''
          #!/usr/bin/dash
          export OUT='${out}'
          export TOPLEVEL='${out}'
          export DISTRO_ID='nixos'
          export INSTALL_BOOTLOADER='${c.installBootLoader}'
          export PRE_SWITCH_CHECK='/usr/bin/dash ${
            toFile "pre-switch-checks" (lines (attrValues (mapAttrs preSwitchCheck preSwitchChecks)))
          }'
          export LOCALE_ARCHIVE=
          export SYSTEMD='/usr'
          exec ${./switch-to-configuration} "$@"
        '';
        "sw/bin/nixos-version" = replaceStrings [ "@label@" "@revision@" "@json@" ] [
          c.label
          (toString c.revision)
          (builtins.toJSON versionJson)
        ] (readFile ./nixos-version);
        "sw/bin/bootctl" = readFile ./bootctl;
        # As on NixOS: the sudo of the system path lacks the rights, the one in /run/wrappers/bin has them.
        "sw/bin/sudo" = ''
          #!/usr/bin/dash
          echo "sudo: $0 must be owned by uid 0 and have the setuid bit set" >&2
          exit 1
        '';
      }
      // builtins.listToAttrs (
        map (name: {
          name = "sw/bin/${name}";
          value = c.tools.${name};
        }) (attrNames c.tools)
      );

      write = path: text: "printf %s ${quote text} >${path}";
      want =
        target: unit:
        if c.units ? ${unit} then
          "ln -s ../${unit} system-units/${target}.wants/${unit}"
        else
          "ln -s /usr/lib/systemd/system/${unit} system-units/${target}.wants/${unit}";
      wants = concatMap (target: map (want target) c.wants.${target}) (attrNames c.wants);
      directories =
        map dirOf (attrNames (files // programs))
        ++ map (target: "system-units/${target}.wants") (attrNames c.wants)
        ++ [
          "etc/systemd"
          "specialisation"
        ];

      toplevel = run "nixos-system-${if c.hostName == "" then "unnamed" else c.hostName}-${c.label}" ''
        mkdir "$out"
        cd "$out"
        mkdir -p ${toString directories}
        ${lines (attrValues (mapAttrs write (files // programs)))}
        chmod +x ${toString (attrNames programs)}

        # Tools of the image, where NixOS has those of its system path. The targets too: what is in /etc/systemd/system is
        # the system's, and is looked at by a switch.
        links=
        for tool in ${replaceStrings [ "\n" ] [ " " ] (readFile ./system-path)}; do
            for directory in /usr/bin /usr/sbin; do
                if [ -e "$directory/$tool" ] && [ ! -e "sw/bin/$tool" ]; then
                    links="$links $directory/$tool"
                    break
                fi
            done
        done
        ln -s $links sw/bin/
        ${lines (attrValues (mapAttrs (name: package: "ln -s ${package}/bin/${name} sw/bin/${name}") packages))}
        for target in local-fs multi-user network sockets swap sysinit timers; do
            cp "/usr/lib/systemd/system/$target.target" system-units/
        done
        ${lines wants}
        ln -s multi-user.target system-units/default.target
        # Nobody sits at the console of a container.
        ln -s /dev/null system-units/getty.target
        ln -s /dev/null system-units/console-getty.service

        ln -s "$out/system-units" etc/systemd/system
        ln -s "$out/user-units" etc/systemd/user
        ln -s ${c.systemConf} etc/systemd/system.conf
        ln -s ${kernel}/bzImage kernel
        ln -s ${kernel} kernel-modules
        ln -s ${initrd}/initrd initrd
        ln -s /usr systemd
        ${lines (attrValues (mapAttrs (name: s: "ln -s ${s.toplevel} specialisation/${name}") specialisation))}
        ${c.lastBuildCommands}
      '';
    in
    {
      inherit toplevel bootspec;
    };
in
{
  config = {
    networking.hostName = configuration.hostName;
    system = {
      build.toplevel = (build configuration).toplevel;
      configurationRevision = configuration.revision;
      nixos.label = configuration.label;
    };
  };
}
