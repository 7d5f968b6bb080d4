{
  description = "Hosts shaped like NixOS, built from plain derivations";

  outputs =
    { self }:
    let
      hosts = import ./hosts.nix;
      faults = import ./faults.nix;
      buildSystem = import ./system.nix;

      host =
        name: change:
        let
          configuration = import ./configuration.nix {
            hostName = name;
            inherit (hosts) version;
            revision = self.rev or self.dirtyRev or null;
          };
          machine = hosts.machines.${name} or null;
          own = configuration // (if machine == null then { } else onMachine machine configuration);
        in
        buildSystem (own // change own);

      # What a machine has and a container lacks: a console, and a kernel that reboots after it has panicked.
      onMachine = loader: c: {
        kernelParams = c.kernelParams ++ [
          "console=ttyS0"
          "panic=20"
        ];
        installBootLoader =
          if loader == "grub" then "${./install-boot-loader-grub}" else c.installBootLoader;
      };

      faultsOf =
        name:
        map (fault: {
          name = "${name}-${fault}";
          value = host name (c: { specialisation = { }; } // faults.${fault} c);
        }) (builtins.attrNames faults);

      # What a host runs before its first deploy: no host name yet, and a service that the deploy takes away.
      initial = c: {
        extraHosts = hosts.names;
        units = c.units // {
          "welcome.service" = builtins.readFile ./welcome.service;
        };
        wants = c.wants // {
          "multi-user.target" = c.wants."multi-user.target" ++ [ "welcome.service" ];
        };
      };

      unchanged = name: {
        inherit name;
        value = host name (_: { });
      };
    in
    {
      nixosConfigurations =
        builtins.listToAttrs (map unchanged hosts.names ++ builtins.concatMap faultsOf hosts.names)
        // {
          initial = host "" initial;
          initial-grub = host "" (c: initial c // onMachine "grub" c);
          initial-systemd-boot = host "" (c: initial c // onMachine "systemd-boot" c);
        };
    };
}
