# What every machine of a test has besides.
{ lib, ... }:
{
  system.switch.enable = lib.mkDefault false;
}
