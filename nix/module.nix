# Makes a NixOS host one that can be deployed to: flakes and sshd on and, if asked for, a user that deploys.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  options = config.deploy-flake;
  inherit (options) user;
  withHelper = lib.mkIf (user.enable && user.helper);
in
{
  imports = [
    ./metrics.nix
    ./secrets.nix
    ./trial.nix
  ];

  options.deploy-flake = {
    user = {
      enable = lib.mkEnableOption "a user that logs in to deploy, in place of root";
      name = lib.mkOption {
        type = lib.types.str;
        default = "deploy";
        description = "The name of the user.";
      };
      keys = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        description = "The ssh keys with which the user logs in.";
      };
      helper = lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = ''
          Whether sudo allows the user `deploy-flake-host` alone, which takes data in place of scripts. Then deploy with
          `ansible_become_method: deploy_flake.nixos.helper`. Who may deploy any system is root all the same.
        '';
      };
      passwordlessSudo = lib.mkOption {
        type = lib.types.bool;
        default = true;
        description = "Whether sudo asks the user for no password. Otherwise give `--ask-become-pass`, and set one.";
      };
    };
  };

  config = {
    nix.settings.experimental-features = [
      "nix-command"
      "flakes"
    ];
    services.openssh.enable = true;

    users.users = lib.mkIf user.enable {
      ${user.name} = {
        isNormalUser = true;
        # That group may do everything.
        extraGroups = if user.helper then [ ] else [ "wheel" ];
        openssh.authorizedKeys.keys = user.keys;
      };
    };
    environment.systemPackages = withHelper [ (pkgs.callPackage ./helper.nix { }) ];
    environment.pathsToLink = withHelper [ "/share/deploy-flake-host" ];
    # Where sudo asks for a password, the group's own rule is enough.
    security.sudo.extraRules = lib.mkIf (user.enable && (user.helper || user.passwordlessSudo)) [
      {
        users = [ user.name ];
        commands = [
          {
            # Without arguments.
            command = if user.helper then "/run/current-system/sw/bin/deploy-flake-host \"\"" else "ALL";
            options = if user.passwordlessSudo then [ "NOPASSWD" ] else [ ];
          }
        ];
      }
    ];
  };
}
