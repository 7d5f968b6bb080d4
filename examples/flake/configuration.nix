# What every host runs: a handful of settings, named as NixOS names them where it has them.
{
  hostName,
  version,
  revision,
}:
let
  withVersion = builtins.replaceStrings [ "@version@" ] [ version ];
  readUnit = name: _: withVersion (builtins.readFile (./units + "/${name}"));
in
{
  inherit hostName revision;
  label = "25.11.${version}";
  # More names for this machine in /etc/hosts.
  extraHosts = [ ];

  kernelVersion = "6.12.1";
  kernelParams = [ "loglevel=4" ];
  initInterfaceVersion = "systemd 2";
  # A switch is refused when one of these differs from that of the system that runs.
  switchInhibitors = {
    dbus-implementation = "dbus";
  };

  # Programs of the system path: their versions.
  packages = {
    hello = "2.12.${version}";
  };

  sshdConfig = builtins.readFile ./sshd_config;
  systemConf = ./system.conf;

  units = builtins.mapAttrs readUnit (builtins.readDir ./units);
  wants = {
    "local-fs.target" = [ "srv-scratch.mount" ];
    "multi-user.target" = [
      "counter.service"
      "hello.service"
      "mirror.service"
      "prepare.service"
      "sshd.service"
    ];
    "sockets.target" = [ "nix-daemon.socket" ];
    "sysinit.target" = [ "deploy-flake-trial.service" ];
    "sysinit-reactivation.target" = [ ];
    "timers.target" = [ "tidy.timer" ];
  };

  # Shell commands by name; the first word of what a failure prints.
  activationScripts = { };
  # Runs for each user who is logged in.
  userActivation = "/usr/bin/true";
  preSwitchChecks = {
    # An operator may forbid every switch for a while.
    maintenance = "[ ! -e /run/no-switch ]";
  };
  installBootLoader = "${./install-boot-loader}";

  # Replaces tools of sw/bin: name to the text of a script.
  tools = { };
  # Commands that run last in the build, in the directory of the toplevel.
  lastBuildCommands = "";

  specialisation.debug = {
    kernelParams = [
      "loglevel=7"
      "debug"
    ];
  };
}
