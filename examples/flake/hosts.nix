{
  # Change this line, and every host has a new system to deploy.
  version = "1";

  # There is one configuration for each of these names; add yours.
  names = builtins.genList (n: "host${toString (n + 1)}") 64;
}
