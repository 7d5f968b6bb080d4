# Makes a NixOS host one that can be deployed to: flakes and sshd on and, if asked for, a user that deploys.
{ config, lib, ... }:
let
  options = config.deploy-flake;
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

    users.users = lib.mkIf options.user.enable {
      ${options.user.name} = {
        isNormalUser = true;
        extraGroups = [ "wheel" ];
        openssh.authorizedKeys.keys = options.user.keys;
      };
    };
    security.sudo.extraRules = lib.mkIf (options.user.enable && options.user.passwordlessSudo) [
      {
        users = [ options.user.name ];
        commands = [
          {
            command = "ALL";
            options = [ "NOPASSWD" ];
          }
        ];
      }
    ];
  };
}
