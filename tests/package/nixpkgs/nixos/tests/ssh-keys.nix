pkgs: {
  snakeOilPrivateKey = pkgs.writeText "privkey.snakeoil" "private";
  snakeOilPublicKey = "ecdsa-sha2-nistp256 AAAA snakeoil";
}
