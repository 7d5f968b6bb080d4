{
  # Change this line, and every host has a new system to deploy.
  version = "1";

  # There is one configuration for each of these names; add yours.
  names = builtins.genList (n: "host${toString (n + 1)}") 68;

  # These are virtual machines, by what boots them; the others are containers.
  machines = {
    host65 = "grub";
    host66 = "systemd-boot";
    host67 = "grub";
    host68 = "systemd-boot";
  };
}
