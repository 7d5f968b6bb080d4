# A real boot loader: what was deployed live is what it boots, and a system that is booted once stays only if somebody
# can reach it.
{
  deploy-flake,
  loader,
  name,
  pkgs,
  self,
}:
let
  controller = import ./controller.nix { inherit deploy-flake pkgs; };
in
{
  name = "deploy-flake-${name}";

  nodes = {
    controller = controller.node;
    target = {
      imports = [
        loader
        self.nixosModules.default
      ];
      boot.loader.timeout = 1;
      virtualisation.useBootLoader = true;
      # A disk that is booted from is made as big as what is on it.
      boot.growPartition = true;
      virtualisation.diskSize = 4096;
      virtualisation.fileSystems."/".autoResize = true;

      deploy-flake = {
        user = {
          enable = true;
          keys = [ controller.key ];
        };
        secrets.enable = true;
        trial.enable = true;
      };

      # The systems to deploy. They are on its disk already.
      specialisation = {
        other.configuration.environment.etc.deployed.text = "other";
        locked-out.configuration.services.openssh.openFirewall = false;
      };
    };
  };

  testScript = ''
    controller.start()
    # Else qemu ends where the machine reboots.
    target.start(allow_reboot=True)
    target.wait_for_unit("multi-user.target")
    first, other, locked_out = [
        target.succeed(f"readlink -f /run/current-system{path}").strip()
        for path in ["", "/specialisation/other", "/specialisation/locked-out"]
    ]
    # From here on over ssh alone: the driver's own shell does not outlive a reboot that it knows nothing of.
    ${controller.script [ "target" ]}

    def does(arguments: str) -> tuple[int, str]:
        code, said = deploy_flake(arguments)
        return code, said["target"]["outcome"]


    def look() -> list[str]:
        paths = "/run/booted-system /run/current-system /nix/var/nix/profiles/system"
        return on("target", f"readlink -f {paths}").split()


    with subtest("What was deployed live is what boots"):
        assert look() == [first, first, first]
        assert does(f"deploy deploy@target --toplevel {other}") == (0, "deployed")
        assert look() == [first, other, other]
        assert does("reboot deploy@target --always") == (0, "done")
        assert look() == [other, other, other]

    with subtest("Booted once, a system that lets nobody in gives way to the boot default"):
        # It was booted, and has rebooted by itself. What is only refused has failed.
        trial = f"trial deploy@target --toplevel {locked_out} --time-limit reboot=240"
        assert does(trial) == (4, "rolled-back")
        assert look() == [other, other, other]

    with subtest("Booted once, a system that comes up well stays"):
        assert does(f"trial deploy@target --toplevel {first}") == (0, "deployed")
        assert look() == [first, first, first]
        assert does("reboot deploy@target --always") == (0, "done")
        assert look() == [first, first, first]
  '';
}
